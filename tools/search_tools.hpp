#pragma once

#include "tools/search_index.hpp"
#include "tools/tool.hpp"

namespace troupe {

struct search_options {
  int top = 1;         ///< results of one query
  int max_queries = 4; ///< in one call
  int max_chars = 300; ///< of one result's text
  std::size_t parallel_from =
      20'000; ///< documents in the index, from which the queries of a call run in parallel
};

/// `search`: {"queries": [1 to 4 strings]}. One line per result, "Title: text", in the order of the queries,
/// the text on one line and cut at a character; a query without a result gives "No results.". Errors:
/// invalid, timeout, io.
std::shared_ptr<tool> make_search_tool(std::shared_ptr<const search_index> index,
                                       const search_options& options = {},
                                       const clock& time = system_clock());

struct open_options {
  int page_chars = 1000; ///< of the document's text on one page
};

/// `open`: {"id": string, "page"?: int >= 1}, the id or exact title of a document. The page's text, then a
/// line "page 1 of 3"; all pages in a row are the text. Errors: invalid, not_found (no such document, no such
/// page), io.
std::shared_ptr<tool> make_open_tool(std::shared_ptr<const search_index> index,
                                     const open_options& options = {});

} // namespace troupe

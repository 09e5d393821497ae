#pragma once

#include "runtime/base/clock.hpp"
#include "tools/corpus.hpp"
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

struct search_hit {
  std::string id, title, text;
  double score = 0; ///< larger is better
};

/// When a search gives up. `at` is on the clock's monotonic scale; without a clock it never does.
struct deadline {
  const clock* by = nullptr;
  duration at{};
  bool passed() const { return by && by->now() >= at; }
};

/// A full-text index over a corpus: SQLite FTS5 over title and body (tokenizer unicode61 without diacritics),
/// ranked by bm25 with weight 10 for a word in the title and 1 in the body, so that an entity's own document
/// comes first. Built once, then immutable and shared: searches from any number of threads run in parallel,
/// each on a connection of its own.
///
///   IDX-1  Any bytes are a query: its words (runs of ASCII letters, digits and all other non-ASCII bytes)
///   are quoted and
///          joined by OR; nothing in a query is syntax.
///   IDX-2  The same corpus and query give the same hits in the same order (ties: by place in the corpus).
///   IDX-3  A file is complete or absent: it is written beside, synced and renamed.
class search_index {
public:
  /// Builds it in memory. Errors: invalid (an id twice), io.
  static expected<std::shared_ptr<const search_index>> build(const std::vector<document>& documents);
  /// Opens a file that `open_or_build` wrote. Errors: not_found, corrupt, version.
  static expected<std::shared_ptr<const search_index>> open(const std::filesystem::path& file);
  /// Opens the file if it holds exactly these documents (by content hash); else builds it anew. Errors: as
  /// `build`, disk_full.
  static expected<std::shared_ptr<const search_index>> open_or_build(const std::filesystem::path& file,
                                                                     const std::vector<document>& documents);
  ~search_index();
  search_index(const search_index&) = delete;
  search_index& operator=(const search_index&) = delete;

  /// The best `top` documents that hold at least one word of the query, best first; none if the query has no
  /// word. Errors: timeout (past the deadline), io, corrupt.
  expected<std::vector<search_hit>> search(std::string_view query, int top, const deadline& until = {}) const;

  /// The document with this id, else the only one with exactly this title. Errors: not_found, invalid (a
  /// title of several documents: the message lists ids).
  expected<document> find(std::string_view id_or_title) const;

  std::size_t size() const;        ///< documents
  const std::string& hash() const; ///< corpus_hash of what it holds

private:
  struct pool;
  explicit search_index(std::unique_ptr<pool> connections);
  std::unique_ptr<pool> pool_;
};

/// The query as FTS5 sees it: `"calling" OR "code" OR "691"`. Empty if there is no word. At most 64 different
/// words count.
std::string match_expression(std::string_view query);

} // namespace troupe

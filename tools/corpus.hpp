#pragma once

#include "runtime/base/error.hpp"
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// One text that an agent can find. All of it is UTF-8.
struct document {
  std::string id;    ///< unique in its corpus, not empty
  std::string title; ///< one line
  std::string text;
  bool operator==(const document&) const = default;
};

struct corpus_limits {
  std::size_t max_document_bytes = std::size_t{16} << 20; ///< of one file of a folder, or one line of JSONL
  std::size_t max_corpus_bytes = std::size_t{4} << 30;
};

/// Reads a corpus in a stable order.
///
/// A folder: every .txt, .md, .html and .htm file below it (others and hidden ones are skipped), by path. The
/// id is the path below the folder. The title is HTML's <title>, Markdown's first heading, else the file's
/// name without its ending. A file: JSONL of {"id", "title", "text"}, by line; other keys are allowed and
/// ignored, empty lines skipped.
///
///   CORP-1  The same files give the same documents in the same order.
///   CORP-2  No two documents have the same id, and there is at least one.
///   CORP-3  Every id, title and text is well-formed UTF-8.
/// Errors, all with file and line (or byte), what was found and what was expected: not_found, io, invalid,
/// exhausted.
expected<std::vector<document>> load_corpus(const std::filesystem::path& path,
                                            const corpus_limits& limits = {});

/// The same for JSONL text; `name` is what errors call it.
expected<std::vector<document>> parse_corpus(std::string_view jsonl, const std::string& name,
                                             const corpus_limits& limits = {});

/// SHA-256 over all documents in their order: equal if and only if the corpora are.
std::string corpus_hash(const std::vector<document>& documents);

} // namespace troupe

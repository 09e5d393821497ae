#pragma once

#include "tools/corpus.hpp"
#include "tools/sqlite_handle.hpp"

namespace troupe {

/// PRAGMA user_version of an index; another one is an index of another version of Troupe.
inline constexpr int index_layout_version = 1;

/// Fills an empty database: tables `documents` (in the corpus' order) and `facts` (its hash and size), and
/// the FTS5 table `words` over title and body. Errors: invalid (an id twice), disk_full, io.
expected<void> write_index(sqlite3* database, const std::vector<document>& documents);

} // namespace troupe

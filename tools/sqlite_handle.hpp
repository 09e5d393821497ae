#pragma once

#include "runtime/base/error.hpp"
#include <memory>
#include <sqlite3.h>
#include <string>
#include <string_view>

namespace troupe {

struct sqlite_closer {
  void operator()(sqlite3* it) const { sqlite3_close_v2(it); }
  void operator()(sqlite3_stmt* it) const { sqlite3_finalize(it); }
};
using sqlite_database = std::unique_ptr<sqlite3, sqlite_closer>;
using sqlite_statement = std::unique_ptr<sqlite3_stmt, sqlite_closer>;

/// The database's last error as a value: SQLITE_FULL becomes disk_full, damage becomes corrupt, an interrupt
/// timeout, the rest io.
inline error sqlite_error(sqlite3* database, const std::string& doing) {
  const int code = sqlite3_errcode(database);
  const auto kind = code == SQLITE_FULL                               ? errc::disk_full
                    : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? errc::corrupt
                    : code == SQLITE_INTERRUPT                        ? errc::timeout
                                                                      : errc::io;
  return {kind, doing + ": " + sqlite3_errmsg(database)};
}

inline expected<sqlite_statement> prepare(sqlite3* database, std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw,
                         nullptr) != SQLITE_OK)
    return fail(sqlite_error(database, "cannot prepare " + std::string(sql)));
  return sqlite_statement(raw);
}

/// The caller keeps `text` alive until the statement is reset.
inline void bind_text(sqlite3_stmt* statement, int place, std::string_view text) {
  sqlite3_bind_text64(statement, place, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

inline std::string column_text(sqlite3_stmt* statement, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
  return text ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column)))
              : std::string();
}

} // namespace troupe

#include "runtime/sqlite.hpp"

#include <cerrno>

namespace troupe::sqlite {

error last_error(sqlite3* db, std::string_view doing) {
  const int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM, primary = code & 0xFF;
  const auto is_space = [](int cause) { return cause == ENOSPC || cause == EDQUOT || cause == EFBIG; };
  // SQLite 3.40 forgets the cause of a failed write to the WAL; errno, cleared before the call, still has it.
  const bool no_space = is_space(errno) || (db && is_space(sqlite3_system_errno(db)));
  auto kind = errc::io;
  if (primary == SQLITE_FULL || (primary == SQLITE_IOERR && no_space) ||
      (primary == SQLITE_CANTOPEN && no_space))
    kind = errc::disk_full;
  else if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
    kind = errc::corrupt;
  else if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED)
    kind = errc::in_use;
  std::string text = std::string(doing) + ": " + (db ? sqlite3_errmsg(db) : "out of memory");
  if (kind == errc::disk_full) text += " (no space left)";
  return {kind, std::move(text)};
}

expected<statement> statement::prepare(sqlite3* db, std::string_view sql) {
  statement out;
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &raw, nullptr);
  out.it_.reset(raw);
  if (code != SQLITE_OK) return fail(last_error(db, "cannot prepare a statement"));
  return out;
}

expected<bool> statement::step() {
  errno = 0;
  switch (sqlite3_step(it_.get())) {
  case SQLITE_ROW: return true;
  case SQLITE_DONE: return false;
  default: return fail(last_error(sqlite3_db_handle(it_.get()), "the store's database failed"));
  }
}

expected<void> execute(sqlite3* db, const char* sql) {
  errno = 0;
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
    return fail(last_error(db, "the store's database failed"));
  return {};
}

expected<std::int64_t> query_integer(sqlite3* db, std::string_view sql) {
  auto query = statement::prepare(db, sql);
  if (!query) return fail(query.error());
  auto row = query->step();
  if (!row) return fail(row.error());
  return *row ? query->integer(0) : 0;
}

} // namespace troupe::sqlite

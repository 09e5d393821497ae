#pragma once

#include "runtime/base/error.hpp"
#include <cstdint>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <string_view>

/// The few things the store needs of SQLite, with its errors as values.
namespace troupe::sqlite {

struct closer {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using connection = std::unique_ptr<sqlite3, closer>;

/// The last failure of `db`: no space (ENOSPC, quota, file size limit) is disk_full, a damaged file corrupt,
/// a lock in_use.
error last_error(sqlite3* db, std::string_view doing);

/// A prepared statement; bound texts must live until the next `reset`.
class statement {
public:
  statement() = default;
  static expected<statement> prepare(sqlite3* db, std::string_view sql);

  void bind(int index, std::int64_t value) { sqlite3_bind_int64(it_.get(), index, value); }
  void bind_text(int index, std::string_view value) {
    sqlite3_bind_text64(it_.get(), index, value.data() ? value.data() : "", value.size(), SQLITE_STATIC,
                        SQLITE_UTF8);
  }
  void bind_blob(int index, std::string_view value) {
    sqlite3_bind_blob64(it_.get(), index, value.data() ? value.data() : "", value.size(), SQLITE_STATIC);
  }
  /// True: a row is there. False: done.
  expected<bool> step();
  void reset() { sqlite3_reset(it_.get()); }

  std::int64_t integer(int column) const { return sqlite3_column_int64(it_.get(), column); }
  std::string_view bytes(int column) const {
    const void* data = sqlite3_column_blob(it_.get(), column);
    return {static_cast<const char*>(data),
            data ? static_cast<std::size_t>(sqlite3_column_bytes(it_.get(), column)) : 0};
  }

private:
  std::unique_ptr<sqlite3_stmt, closer> it_;
};

/// Runs statements that give no rows of interest.
expected<void> execute(sqlite3* db, const char* sql);
/// The first column of the first row as an integer; 0 if there is no row.
expected<std::int64_t> query_integer(sqlite3* db, std::string_view sql);

} // namespace troupe::sqlite

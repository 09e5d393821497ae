#include "tools/index_layout.hpp"

namespace troupe {

namespace {

constexpr const char* schema = R"(
  PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA user_version = 1;
  CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE documents (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, body TEXT NOT NULL);
  CREATE VIRTUAL TABLE words USING fts5(title, body, content='documents', content_rowid='place',
                                        tokenize='unicode61 remove_diacritics 2');
  BEGIN;
)";
constexpr const char* finish = R"(
  INSERT INTO words (words) VALUES ('rebuild');
  INSERT INTO words (words) VALUES ('optimize');
  CREATE INDEX by_title ON documents (title);
  COMMIT;
)";

expected<void> run(sqlite3* database, const char* sql, const std::string& doing) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return fail(sqlite_error(database, doing));
}

} // namespace

expected<void> write_index(sqlite3* database, const std::vector<document>& documents) {
  const std::string doing = "cannot build the search index";
  if (auto ok = run(database, schema, doing); !ok) return ok;
  auto insert = prepare(database, "INSERT INTO documents (place, id, title, body) VALUES (?, ?, ?, ?)");
  if (!insert) return fail(insert.error());
  sqlite3_int64 place = 0;
  for (const auto& it : documents) {
    sqlite3_bind_int64(insert->get(), 1, ++place);
    bind_text(insert->get(), 2, it.id);
    bind_text(insert->get(), 3, it.title);
    bind_text(insert->get(), 4, it.text);
    const int code = sqlite3_step(insert->get());
    if (code == SQLITE_CONSTRAINT)
      return fail(errc::invalid, "found the document id \"" + it.id + "\" twice, expected every id once");
    if (code != SQLITE_DONE) return fail(sqlite_error(database, doing));
    sqlite3_reset(insert->get());
  }
  auto fact = prepare(database, "INSERT INTO facts VALUES (?, ?)");
  if (!fact) return fail(fact.error());
  for (const auto& [key, value] : {std::pair<std::string, std::string>{"hash", corpus_hash(documents)},
                                   {"size", std::to_string(documents.size())}}) {
    bind_text(fact->get(), 1, key);
    bind_text(fact->get(), 2, value);
    if (sqlite3_step(fact->get()) != SQLITE_DONE) return fail(sqlite_error(database, doing));
    sqlite3_reset(fact->get());
  }
  return run(database, finish, doing);
}

} // namespace troupe

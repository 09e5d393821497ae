#include "tools/search_index.hpp"

#include "runtime/base/file.hpp"
#include "tools/index_layout.hpp"
#include "tools/sqlite_handle.hpp"
#include <algorithm>
#include <fcntl.h>
#include <functional>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t max_words = 64;

expected<sqlite_database> open_database(const std::string& name, int flags) {
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(name.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  sqlite_database out(raw);
  if (code != SQLITE_OK) return fail(sqlite_error(raw, "cannot open index " + name));
  sqlite3_extended_result_codes(raw, 0);
  return out;
}

/// One reader: a connection with its statements, used by one thread at a time.
struct reader {
  sqlite_database database;
  sqlite_statement search, by_id, by_title;
};

expected<std::unique_ptr<reader>> make_reader(sqlite_database database) {
  auto out = std::make_unique<reader>();
  out->database = std::move(database);
  // The ranking stands in a query of its own: only the best rows fetch their texts.
  constexpr std::string_view search_sql =
      "SELECT d.id, d.title, d.body, best.score FROM (SELECT rowid AS place, bm25(words, 10.0, 1.0) AS score "
      "FROM words "
      "WHERE words MATCH ? ORDER BY score, rowid LIMIT ?) AS best JOIN documents d ON d.place = best.place "
      "ORDER BY best.score, best.place";
  for (auto [sql, into] :
       {std::pair<std::string_view, sqlite_statement*>{search_sql, &out->search},
        {"SELECT id, title, body FROM documents WHERE id = ?", &out->by_id},
        {"SELECT id, title, body FROM documents WHERE title = ? ORDER BY place LIMIT 6", &out->by_title}}) {
    auto made = prepare(out->database.get(), sql);
    if (!made) return fail(made.error());
    *into = std::move(*made);
  }
  return out;
}

expected<void> sync_file(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return fail(system_error("cannot open", file));
  const bool synced = ::fsync(fd) == 0;
  auto why = system_error("cannot sync", file);
  ::close(fd);
  if (!synced) return fail(std::move(why));
  return {};
}

int interrupt_if_passed(void* until) { return static_cast<const deadline*>(until)->passed() ? 1 : 0; }

bool is_word_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

} // namespace

/// The database's bytes, in memory or mapped from a file, and the connections that no thread uses at the
/// moment. All read the same bytes without locks, and a file that is replaced meanwhile stays as it was for
/// them.
struct search_index::pool {
  std::unique_ptr<unsigned char, std::function<void(unsigned char*)>> image;
  sqlite3_int64 image_bytes = 0;
  std::string hash;
  std::size_t size = 0;
  std::mutex guard;
  std::vector<std::unique_ptr<reader>> free;

  expected<void> map(const fs::path& file) {
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(system_error("cannot open search index", file));
    struct stat about {};
    void* bytes = MAP_FAILED;
    if (::fstat(fd, &about) == 0 && about.st_size > 0)
      bytes = ::mmap(nullptr, static_cast<std::size_t>(about.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    ::close(fd);
    if (bytes == MAP_FAILED) return fail(errc::corrupt, "cannot map search index " + file.string());
    image_bytes = about.st_size;
    image = {static_cast<unsigned char*>(bytes),
             [n = static_cast<std::size_t>(about.st_size)](unsigned char* it) { ::munmap(it, n); }};
    return {};
  }

  expected<std::unique_ptr<reader>> connect() const {
    auto database = open_database(":memory:", SQLITE_OPEN_READWRITE);
    if (!database) return fail(database.error());
    if (sqlite3_deserialize(database->get(), "main", image.get(), image_bytes, image_bytes,
                            SQLITE_DESERIALIZE_READONLY) != SQLITE_OK)
      return fail(sqlite_error(database->get(), "cannot read the index in memory"));
    return make_reader(std::move(*database));
  }

  expected<void> read_facts() {
    auto first = connect();
    if (!first) return fail(first.error());
    auto version = prepare((*first)->database.get(), "PRAGMA user_version");
    if (!version) return fail(version.error());
    if (sqlite3_step(version->get()) != SQLITE_ROW ||
        sqlite3_column_int(version->get(), 0) != index_layout_version)
      return fail(errc::version, "found index layout " +
                                     std::to_string(sqlite3_column_int(version->get(), 0)) + ", expected " +
                                     std::to_string(index_layout_version));
    auto facts = prepare((*first)->database.get(), "SELECT key, value FROM facts");
    if (!facts) return fail(facts.error());
    while (sqlite3_step(facts->get()) == SQLITE_ROW) {
      if (column_text(facts->get(), 0) == "hash") hash = column_text(facts->get(), 1);
      if (column_text(facts->get(), 0) == "size")
        size = static_cast<std::size_t>(sqlite3_column_int64(facts->get(), 1));
    }
    if (hash.empty() || size == 0) return fail(errc::corrupt, "found an index without its facts");
    free.push_back(std::move(*first));
    return {};
  }
};

namespace {

/// A connection for the time of one call.
template <class Pool>
class lease {
public:
  static expected<lease> take(Pool& from) {
    {
      const std::lock_guard lock(from.guard);
      if (!from.free.empty()) {
        lease out(from, std::move(from.free.back()));
        from.free.pop_back();
        return out;
      }
    }
    auto made = from.connect();
    if (!made) return fail(made.error());
    return lease(from, std::move(*made));
  }
  lease(lease&&) = default;
  ~lease() {
    if (!reader_) return;
    const std::lock_guard lock(from_->guard);
    from_->free.push_back(std::move(reader_));
  }
  reader* operator->() const { return reader_.get(); }

private:
  lease(Pool& from, std::unique_ptr<reader> it) : from_(&from), reader_(std::move(it)) {}
  Pool* from_;
  std::unique_ptr<reader> reader_;
};

/// Frees a statement for its next use at the end of a scope.
struct rewind_at_end {
  sqlite3_stmt* statement;
  ~rewind_at_end() {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
  }
};

} // namespace

std::string match_expression(std::string_view query) {
  std::vector<std::string> words;
  std::string word, out;
  const auto close = [&] {
    if (!word.empty() && words.size() < max_words &&
        std::find(words.begin(), words.end(), word) == words.end()) {
      (((out += words.empty() ? "" : " OR ") += '"') += word) += '"';
      words.push_back(word);
    }
    word.clear();
  };
  for (const char c : query) {
    if (is_word_byte(c))
      word += lower(c);
    else
      close();
  }
  close();
  return out;
}

search_index::search_index(std::unique_ptr<pool> connections) : pool_(std::move(connections)) {}
search_index::~search_index() = default;
std::size_t search_index::size() const { return pool_->size; }
const std::string& search_index::hash() const { return pool_->hash; }

expected<std::shared_ptr<const search_index>> search_index::build(const std::vector<document>& documents) {
  auto database = open_database(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  if (!database) return fail(database.error());
  if (auto ok = write_index(database->get(), documents); !ok) return fail(ok.error());
  auto connections = std::make_unique<pool>();
  connections->image = {sqlite3_serialize(database->get(), "main", &connections->image_bytes, 0),
                        sqlite3_free};
  if (!connections->image) return fail(errc::exhausted, "no memory for the search index");
  if (auto ok = connections->read_facts(); !ok) return fail(ok.error());
  return std::shared_ptr<const search_index>(new search_index(std::move(connections)));
}

expected<std::shared_ptr<const search_index>> search_index::open(const fs::path& file) {
  auto connections = std::make_unique<pool>();
  if (auto ok = connections->map(file); !ok) return fail(ok.error());
  if (auto ok = connections->read_facts(); !ok) {
    const auto kind = ok.error().code == errc::version ? errc::version : errc::corrupt;
    return fail(kind, "search index " + file.string() + ": " + ok.error().message);
  }
  return std::shared_ptr<const search_index>(new search_index(std::move(connections)));
}

expected<std::shared_ptr<const search_index>>
search_index::open_or_build(const fs::path& file, const std::vector<document>& documents) {
  // A file that is damaged or of another version is a cache miss: it is only ever a copy of the documents.
  if (auto there = open(file); there && (*there)->hash() == corpus_hash(documents)) return there;
  auto beside = file;
  beside += ".tmp" + std::to_string(::getpid());
  std::error_code ignored;
  fs::remove(beside, ignored);
  const auto built = [&]() -> expected<void> {
    auto database = open_database(beside.string(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (!database) return fail(database.error());
    if (auto ok = write_index(database->get(), documents); !ok) return ok;
    database->reset();
    return sync_file(beside);
  }();
  if (!built) {
    fs::remove(beside, ignored);
    return fail(built.error());
  }
  std::error_code failed;
  fs::rename(beside, file, failed);
  if (failed) return fail(errc::io, "cannot rename to " + file.string() + ": " + failed.message());
  if (auto ok = sync_folder(file.parent_path()); !ok) return fail(ok.error());
  return open(file);
}

expected<std::vector<search_hit>> search_index::search(std::string_view query, int top,
                                                       const deadline& until) const {
  std::vector<search_hit> out;
  const auto match = match_expression(query);
  if (match.empty() || top < 1) return out;
  auto with = lease<pool>::take(*pool_);
  if (!with) return fail(with.error());
  auto* database = (*with)->database.get();
  auto* statement = (*with)->search.get();
  const rewind_at_end rewind{statement};
  auto limit = until;
  sqlite3_progress_handler(database, until.by ? 10'000 : 0, interrupt_if_passed, &limit);
  bind_text(statement, 1, match);
  sqlite3_bind_int(statement, 2, top);
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    out.push_back({column_text(statement, 0), column_text(statement, 1), column_text(statement, 2),
                   -sqlite3_column_double(statement, 3)});
  sqlite3_progress_handler(database, 0, nullptr, nullptr);
  if (code == SQLITE_INTERRUPT) return fail(errc::timeout, "the search took longer than its budget");
  if (code != SQLITE_DONE) return fail(sqlite_error(database, "the search failed"));
  return out;
}

expected<document> search_index::find(std::string_view id_or_title) const {
  auto with = lease<pool>::take(*pool_);
  if (!with) return fail(with.error());
  std::vector<document> found;
  for (auto* statement : {(*with)->by_id.get(), (*with)->by_title.get()}) {
    const rewind_at_end rewind{statement};
    bind_text(statement, 1, id_or_title);
    while (sqlite3_step(statement) == SQLITE_ROW)
      found.push_back({column_text(statement, 0), column_text(statement, 1), column_text(statement, 2)});
    if (!found.empty()) break;
  }
  if (found.empty()) return fail(errc::not_found, "no document \"" + std::string(id_or_title) + "\"");
  if (found.size() == 1) return std::move(found.front());
  std::string ids;
  for (const auto& it : found) ids += (ids.empty() ? "" : ", ") + it.id;
  return fail(errc::invalid, "several documents have the title \"" + std::string(id_or_title) +
                                 "\", expected an id: " + ids);
}

} // namespace troupe

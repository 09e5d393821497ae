#include "runtime/base/file.hpp"
#include "runtime/base/hash.hpp"
#include "runtime/sqlite.hpp"
#include "runtime/store.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace troupe {

namespace {

constexpr std::int64_t schema_version = 1;
constexpr std::int64_t application = 0x54525045; // "TRPE"

constexpr const char* schema = R"(
BEGIN IMMEDIATE;
CREATE TABLE event(seq INTEGER PRIMARY KEY, stream TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL UNIQUE,
                   body BLOB NOT NULL, wall_ms INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE INDEX event_by_stream ON event(stream);
CREATE INDEX event_by_kind ON event(kind);
PRAGMA application_id = 1414680645;
PRAGMA user_version = 1;
COMMIT;
)";

/// Over every field, lengths included, so that no bytes can move from one field to its neighbour unseen.
std::uint32_t checksum(std::uint64_t seq, std::int64_t wall_ms, std::string_view stream,
                       std::string_view kind, std::string_view key, std::string_view body) {
  const std::array<std::uint64_t, 6> head = {
      seq, static_cast<std::uint64_t>(wall_ms), stream.size(), kind.size(), key.size(), body.size()};
  std::array<char, sizeof head> bytes;
  std::memcpy(bytes.data(), head.data(), sizeof head);
  std::uint32_t crc = crc32c({bytes.data(), bytes.size()});
  for (auto part : {stream, kind, key, body}) crc = crc32c(part, crc);
  return crc;
}

class sqlite_store final : public event_store {
public:
  sqlite_store(const clock& time, std::string name) : time_(time), name_(std::move(name)) {}

  expected<void> start(bool reader) {
    reader_ = reader;
    const int flags = (reader ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
                      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    sqlite3* raw = nullptr;
    errno = 0;
    const int code = sqlite3_open_v2(name_.c_str(), &raw, flags, nullptr);
    db_.reset(raw);
    if (code != SQLITE_OK) return fail(sqlite::last_error(raw, "cannot open " + name_));
    sqlite3_busy_timeout(raw, 5000);
    if (auto fine = adopt(); !fine) return fail(in_file(fine.error()));
    return {};
  }

  append_result append(append_request records) override {
    return std::move(append_group({&records, 1}).front());
  }

  std::vector<append_result> append_group(std::span<const append_request> requests) override {
    const auto start = time_.now();
    std::vector<append_result> results;
    results.reserve(requests.size());
    const auto last_before = last_seq_;
    if (auto done = commit(requests, results); !done) {
      if (!sqlite3_get_autocommit(db_.get())) sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
      last_seq_ = last_before;
      results.assign(requests.size(), fail(in_file(done.error())));
    }
    busy_ += time_.now() - start;
    return results;
  }

  expected<std::vector<record>> read_stream(const std::string& stream) override {
    by_stream_.bind_text(1, stream);
    return rows(by_stream_);
  }

  expected<std::vector<record>> read_kind(const std::string& kind, std::uint64_t after_seq) override {
    by_kind_.bind_text(1, kind);
    by_kind_.bind(2, static_cast<std::int64_t>(after_seq));
    return rows(by_kind_);
  }

  expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() override {
    std::vector<std::pair<std::string, std::uint64_t>> out;
    for (;;) {
      auto row = counts_.step();
      if (!row || !*row) {
        counts_.reset();
        if (!row) return fail(in_file(row.error()));
        return out;
      }
      out.emplace_back(counts_.bytes(0), static_cast<std::uint64_t>(counts_.integer(1)));
    }
  }

  duration busy() const override { return busy_; }

private:
  error in_file(error what) const {
    what.message = name_ + ": " + what.message;
    return what;
  }

  /// Makes the schema in a new file, or checks that of an old one, and every row in it.
  expected<void> adopt() {
    if (!reader_)
      if (auto done = set_up(); !done) return done;
    auto tables = sqlite::query_integer(db_.get(), "SELECT count(*) FROM sqlite_schema");
    if (!tables) return fail(tables.error());
    if (*tables == 0) {
      if (reader_) return fail(errc::corrupt, "found an empty database, expected a store");
      if (auto made = sqlite::execute(db_.get(), schema); !made) return made;
      if (name_ != ":memory:")
        if (auto synced = sync_folder(std::filesystem::path(name_).parent_path()); !synced) return synced;
    }
    auto id = sqlite::query_integer(db_.get(), "PRAGMA application_id");
    auto version = sqlite::query_integer(db_.get(), "PRAGMA user_version");
    if (!id || !version) return fail(id ? version.error() : id.error());
    if (*id != application) return fail(errc::corrupt, "this is not a store of Troupe");
    if (*version != schema_version)
      return fail(errc::version, "found schema version " + std::to_string(*version) + ", expected " +
                                     std::to_string(schema_version));
    if (auto prepared = prepare(); !prepared) return prepared;
    return reader_ ? expected<void>{} : check_rows();
  }

  expected<void> set_up() {
    auto mode = sqlite::statement::prepare(db_.get(), "PRAGMA journal_mode=WAL");
    if (!mode) return fail(mode.error());
    auto row = mode->step();
    if (!row) return fail(row.error());
    if (name_ != ":memory:" && mode->bytes(0) != "wal")
      return fail(errc::io, "found the journal mode \"" + std::string(mode->bytes(0)) +
                                "\", expected wal; is the folder on a disk of this machine?");
    return sqlite::execute(
        db_.get(), "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4096; PRAGMA cache_size=-65536;");
  }

  expected<void> prepare() {
    const auto make = [&](sqlite::statement& into, std::string_view sql) -> expected<void> {
      auto got = sqlite::statement::prepare(db_.get(), sql);
      if (!got) return fail(got.error());
      into = std::move(*got);
      return {};
    };
    constexpr std::string_view columns = "SELECT seq, stream, kind, key, body, wall_ms, crc FROM event ";
    const auto select = [&](std::string_view rest) { return std::string(columns) + std::string(rest); };
    return make(insert_,
                "INSERT INTO event(seq, stream, kind, key, body, wall_ms, crc) VALUES(?,?,?,?,?,?,?) "
                "ON CONFLICT(key) DO NOTHING")
        .and_then([&] { return make(begin_, "BEGIN IMMEDIATE"); })
        .and_then([&] { return make(commit_, "COMMIT"); })
        .and_then([&] { return make(undo_, "DELETE FROM event WHERE seq > ?"); })
        .and_then([&] { return make(by_key_, select("WHERE key = ?")); })
        .and_then([&] { return make(by_stream_, select("WHERE stream = ? ORDER BY seq")); })
        .and_then([&] { return make(by_kind_, select("WHERE kind = ? AND seq > ? ORDER BY seq")); })
        .and_then([&] { return make(all_, select("ORDER BY seq")); })
        .and_then(
            [&] { return make(counts_, "SELECT kind, count(*) FROM event GROUP BY kind ORDER BY kind"); });
  }

  /// Every row has its checksum, and none is missing.
  expected<void> check_rows() {
    for (;;) {
      auto row = all_.step();
      if (!row || !*row) {
        all_.reset();
        if (!row) return fail(row.error());
        return {};
      }
      auto one = take_row(all_);
      if (one && one->seq != last_seq_ + 1)
        one = fail(errc::corrupt, "record " + std::to_string(last_seq_ + 1) + " is missing");
      if (!one) {
        all_.reset();
        return fail(one.error());
      }
      last_seq_ = one->seq;
    }
  }

  expected<void> once(sqlite::statement& what) {
    auto done = what.step();
    what.reset();
    if (!done) return fail(done.error());
    return {};
  }

  /// One transaction over all requests. An error here is everyone's; a conflict is its own request's.
  expected<void> commit(std::span<const append_request> requests, std::vector<append_result>& results) {
    if (reader_) return fail(errc::invalid, "this store was opened for reading only");
    if (auto begun = once(begin_); !begun) return begun;
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(time_.wall()).count();
    for (auto& request : requests) {
      const auto last_before = last_seq_;
      auto result = insert(request, now);
      if (!result && result.error().code != errc::conflict) return fail(result.error());
      if (!result && last_seq_ != last_before) { // take back what this request has put in
        undo_.bind(1, static_cast<std::int64_t>(last_before));
        if (auto undone = once(undo_); !undone) return undone;
        last_seq_ = last_before;
      }
      results.push_back(std::move(result));
    }
    return once(commit_);
  }

  append_result insert(append_request records, std::int64_t now) {
    std::vector<append_outcome> out;
    out.reserve(records.size());
    for (auto& [stream, kind, key, body] : records) {
      const auto seq = last_seq_ + 1;
      insert_.bind(1, static_cast<std::int64_t>(seq));
      insert_.bind_text(2, stream);
      insert_.bind_text(3, kind);
      insert_.bind_text(4, key);
      insert_.bind_blob(5, body);
      insert_.bind(6, now);
      insert_.bind(7, checksum(seq, now, stream, kind, key, body));
      if (auto done = once(insert_); !done) return fail(done.error());
      if (sqlite3_changes(db_.get()) > 0) {
        out.push_back({last_seq_ = seq, true});
        continue;
      }
      auto stored = find(key);
      if (!stored) return fail(stored.error());
      if (stored->stream != stream || stored->kind != kind || stored->body != body)
        return fail(errc::conflict, "the key \"" + key + "\" is stored already, with other content");
      out.push_back({stored->seq, false});
    }
    return out;
  }

  expected<record> find(const std::string& key) {
    by_key_.bind_text(1, key);
    auto row = by_key_.step();
    expected<record> out = fail(errc::corrupt, "the index of keys and the table contradict each other");
    if (!row)
      out = fail(row.error());
    else if (*row)
      out = take_row(by_key_);
    by_key_.reset();
    return out;
  }

  static expected<record> take_row(const sqlite::statement& at) {
    record out{static_cast<std::uint64_t>(at.integer(0)),
               std::string(at.bytes(1)),
               std::string(at.bytes(2)),
               std::string(at.bytes(3)),
               std::string(at.bytes(4)),
               at.integer(5)};
    if (checksum(out.seq, out.wall_ms, out.stream, out.kind, out.key, out.body) != at.integer(6))
      return fail(errc::corrupt, "record " + std::to_string(out.seq) + " fails its checksum");
    return out;
  }

  expected<std::vector<record>> rows(sqlite::statement& query) {
    std::vector<record> out;
    for (;;) {
      auto row = query.step();
      if (row && *row) {
        auto one = take_row(query);
        if (one) {
          out.push_back(std::move(*one));
          continue;
        }
        row = fail(one.error());
      }
      query.reset();
      if (!row) return fail(in_file(row.error()));
      return out;
    }
  }

  const clock& time_;
  std::string name_;
  bool reader_ = false;
  sqlite::connection db_; // before the statements: they go first
  sqlite::statement insert_, begin_, commit_, undo_, by_key_, by_stream_, by_kind_, all_, counts_;
  std::uint64_t last_seq_ = 0;
  duration busy_{};
};

expected<std::unique_ptr<event_store>> open_sqlite(const std::filesystem::path& file, const clock& time,
                                                   bool reader) {
  auto out = std::make_unique<sqlite_store>(time, file.string());
  if (auto started = out->start(reader); !started) return fail(started.error());
  return out;
}

} // namespace

expected<std::unique_ptr<event_store>> event_store::open(const std::filesystem::path& file,
                                                         const clock& time) {
  return open_sqlite(file, time, false);
}

expected<std::unique_ptr<event_store>> event_store::open_reader(const std::filesystem::path& file,
                                                                const clock& time) {
  if (!std::filesystem::exists(file)) return fail(errc::not_found, "no such store: " + file.string());
  return open_sqlite(file, time, true);
}

} // namespace troupe

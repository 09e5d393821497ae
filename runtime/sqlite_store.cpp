#include "runtime/base/file.hpp"
#include "runtime/base/hash.hpp"
#include "runtime/sqlite.hpp"
#include "runtime/store.hpp"
#include "runtime/store_index.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <unistd.h>

namespace troupe {

namespace {

constexpr std::int64_t schema_version = 2, oldest_version = 1; // 1 had indexes on disk; its rows are the same
constexpr std::int64_t application = 0x54525045;               // "TRPE"

// No index: they are in memory (store_index). A page holds some ten rows; the WAL is put into the file every 4 MiB, often enough
// for no commit to wait long for it.
constexpr const char* schema = R"(
BEGIN IMMEDIATE;
CREATE TABLE event(seq INTEGER PRIMARY KEY, stream TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
                   body BLOB NOT NULL, wall_ms INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
PRAGMA application_id = 1414680645;
PRAGMA user_version = 2;
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

/// The name under which SQLite opens a file that is only read. Where it may not write beside the file, and no writer has left a
/// log there, it must be told that nothing changes.
std::string name_for_reading(const std::filesystem::path& file) {
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  auto log = file;
  log += "-wal";
  std::string out = "file:";
  for (unsigned char c : std::filesystem::absolute(file).string()) {
    char escaped[4];
    std::snprintf(escaped, sizeof escaped, "%%%02X", c);
    if (c == '%' || c == '?' || c == '#')
      out += escaped;
    else
      out += static_cast<char>(c);
  }
  const bool still = ::access(folder.c_str(), W_OK) != 0 && !std::filesystem::exists(log);
  return out + (still ? "?immutable=1" : "");
}

/// What a life of a store leaves to the next one in its process, so that a restart need not read every row again.
struct left_index {
  std::mutex guard;
  std::optional<store_index> index;
};

class sqlite_store final : public event_store {
public:
  sqlite_store(const clock& time, std::string name, std::shared_ptr<left_index> left = nullptr)
      : time_(time), name_(std::move(name)), left_(std::move(left)) {}
  ~sqlite_store() override {
    if (!left_) return;
    take_back(kept_);
    std::scoped_lock lock(left_->guard);
    if (!left_->index || left_->index->size() < index_.size()) left_->index = std::move(index_);
  }

  expected<void> start(bool reader) {
    reader_ = reader;
    const int flags =
        (reader ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    const auto name = reader ? name_for_reading(name_) : name_;
    sqlite3* raw = nullptr;
    errno = 0;
    const int code = sqlite3_open_v2(name.c_str(), &raw, flags, nullptr);
    db_.reset(raw);
    if (code != SQLITE_OK) return fail(sqlite::last_error(raw, "cannot open " + name_));
    sqlite3_busy_timeout(raw, 5000);
    if (left_) fold_log_at_end(false);
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
    if (auto done = commit(requests, results); !done) {
      if (!sqlite3_get_autocommit(db_.get())) sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
      take_back(kept_);
      results.assign(requests.size(), fail(in_file(done.error())));
    }
    busy_ += time_.now() - start;
    return results;
  }

  expected<std::vector<record>> read_stream(const std::string& stream) override {
    if (auto ok = follow(); !ok) return fail(in_file(ok.error()));
    auto out = rows(index_.of_stream(stream));
    if (out) std::erase_if(*out, [&](const record& one) { return one.stream != stream; });
    return out;
  }

  expected<std::vector<record>> read_kind(const std::string& kind, std::uint64_t after_seq,
                                          std::size_t most) override {
    if (auto ok = follow(); !ok) return fail(in_file(ok.error()));
    const auto all = index_.of_kind(kind, after_seq);
    return rows(all.first(std::min(all.size(), most)));
  }

  expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() override {
    if (auto ok = follow(); !ok) return fail(in_file(ok.error()));
    return index_.count_kinds();
  }

  expected<store_position> position(std::uint64_t seq) override {
    if (auto ok = follow(); !ok) return fail(in_file(ok.error()));
    if (seq == newest) seq = last_seq_;
    if (seq > last_seq_)
      return fail(errc::not_found, name_ + ": no record " + std::to_string(seq) + ", the last is " +
                                       std::to_string(last_seq_));
    return store_position{seq, index_.chain(seq)};
  }

  void last_life() override { fold_log_at_end(true); }

  duration busy() const override { return busy_; }

private:
  void fold_log_at_end(bool yes) {
    sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, yes ? 0 : 1, nullptr);
  }

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
    if (*version < oldest_version || *version > schema_version)
      return fail(errc::version, "found schema version " + std::to_string(*version) + ", expected " +
                                     std::to_string(schema_version));
    if (auto prepared = prepare(); !prepared) return prepared;
    inherit();
    return catch_up();
  }

  /// Takes over what the last life knew, if the file still ends with it or goes on from there: the chain at its end says so.
  void inherit() {
    if (!left_) return;
    std::optional<store_index> known;
    {
      std::scoped_lock lock(left_->guard);
      known = std::exchange(left_->index, std::nullopt);
    }
    if (!known || known->size() == 0) return;
    const auto end = known->size();
    by_seq_.bind(1, static_cast<std::int64_t>(end));
    const auto row = by_seq_.step();
    const bool same =
        row && *row && take_row(by_seq_) &&
        store_index::chained(known->chain(end - 1), static_cast<std::uint32_t>(by_seq_.integer(6))) ==
            known->chain(end);
    by_seq_.reset();
    if (!same) return; // another file by now: every row is read
    index_ = std::move(*known);
    last_seq_ = kept_ = end;
  }

  expected<void> set_up() {
    if (auto sized = sqlite::execute(db_.get(), "PRAGMA page_size=8192"); !sized)
      return sized; // of a new file
    auto mode = sqlite::statement::prepare(db_.get(), "PRAGMA journal_mode=WAL");
    if (!mode) return fail(mode.error());
    auto row = mode->step();
    if (!row) return fail(row.error());
    if (name_ != ":memory:" && mode->bytes(0) != "wal")
      return fail(errc::io, "found the journal mode \"" + std::string(mode->bytes(0)) +
                                "\", expected wal; is the folder on a disk of this machine?");
    return sqlite::execute(
        db_.get(), "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=512; PRAGMA cache_size=-8192;");
  }

  expected<void> prepare() {
    const auto make = [&](sqlite::statement& into, const std::string& sql) -> expected<void> {
      auto got = sqlite::statement::prepare(db_.get(), sql);
      if (!got) return fail(got.error());
      into = std::move(*got);
      return {};
    };
    const std::string select = "SELECT seq, stream, kind, key, body, wall_ms, crc FROM event WHERE seq ";
    return make(insert_,
                "INSERT INTO event(seq, stream, kind, key, body, wall_ms, crc) VALUES(?,?,?,?,?,?,?)")
        .and_then([&] { return make(begin_, "BEGIN IMMEDIATE"); })
        .and_then([&] { return make(read_, "BEGIN"); })
        .and_then([&] { return make(commit_, "COMMIT"); })
        .and_then([&] { return make(undo_, "DELETE FROM event WHERE seq > ?"); })
        .and_then([&] { return make(by_seq_, select + "= ?"); })
        .and_then([&] { return make(newer_, select + "> ? ORDER BY seq"); });
  }

  /// Takes into the index what the file has and the index has not: at first all of it, later what another connection appended (the
  /// writer, beside a reader; the last commit of an earlier life of the store). Every row has its checksum, none is missing, and no
  /// key is there twice.
  expected<void> catch_up() {
    newer_.bind(1, static_cast<std::int64_t>(last_seq_));
    auto caught = take_newer();
    newer_.reset();
    keep();
    return caught;
  }
  expected<void> take_newer() {
    for (;;) {
      auto row = newer_.step();
      if (!row) return fail(row.error());
      if (!*row) return {};
      auto one = take_row(newer_);
      if (!one) return fail(one.error());
      if (one->seq != last_seq_ + 1)
        return fail(errc::corrupt, "record " + std::to_string(last_seq_ + 1) + " is missing");
      const auto hash = store_index::hash_of(one->key);
      auto twin = find(one->key, hash);
      if (!twin) return fail(twin.error());
      if (*twin)
        return fail(errc::corrupt, "records " + std::to_string((*twin)->seq) + " and " +
                                       std::to_string(one->seq) + " have the same key");
      index_.add(one->stream, one->kind, hash, static_cast<std::uint32_t>(newer_.integer(6)));
      last_seq_ = one->seq;
    }
  }
  /// The writer knows its own rows.
  expected<void> follow() { return reader_ ? catch_up() : expected<void>{}; }

  void keep() {
    index_.keep();
    kept_ = last_seq_;
  }
  void take_back(std::uint64_t to) {
    index_.forget_after(to);
    last_seq_ = to;
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
    if (auto caught = catch_up(); !caught) return caught;
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(time_.wall()).count();
    for (auto& request : requests) {
      const auto last_before = last_seq_;
      auto result = insert(request, now);
      if (!result && result.error().code != errc::conflict) return fail(result.error());
      if (!result && last_seq_ != last_before) { // take back what this request has put in
        undo_.bind(1, static_cast<std::int64_t>(last_before));
        if (auto undone = once(undo_); !undone) return undone;
        take_back(last_before);
      }
      results.push_back(std::move(result));
    }
    auto done = once(commit_);
    if (done) keep();
    return done;
  }

  append_result insert(append_request records, std::int64_t now) {
    std::vector<append_outcome> out;
    out.reserve(records.size());
    for (auto& [stream, kind, key, body] : records) {
      const auto hash = store_index::hash_of(key);
      auto stored = find(key, hash);
      if (!stored) return fail(stored.error());
      if (*stored) {
        if ((*stored)->stream != stream || (*stored)->kind != kind || (*stored)->body != body)
          return fail(errc::conflict, "the key \"" + key + "\" is stored already, with other content");
        out.push_back({(*stored)->seq, false});
        continue;
      }
      if (last_seq_ == store_index::most)
        return fail(errc::invalid, "this store is full: it has " + std::to_string(last_seq_) + " records");
      const auto seq = last_seq_ + 1;
      insert_.bind(1, static_cast<std::int64_t>(seq));
      insert_.bind_text(2, stream);
      insert_.bind_text(3, kind);
      insert_.bind_text(4, key);
      insert_.bind_blob(5, body);
      insert_.bind(6, now);
      const auto crc = checksum(seq, now, stream, kind, key, body);
      insert_.bind(7, crc);
      if (auto done = once(insert_); !done) return fail(done.error());
      index_.add(stream, kind, hash, crc);
      out.push_back({last_seq_ = seq, true});
    }
    return out;
  }

  /// The stored record of a key, if there is one.
  expected<std::optional<record>> find(std::string_view key, std::uint32_t hash) {
    for (const auto seq : index_.candidates(hash)) {
      auto one = row_at(seq);
      if (!one) return fail(one.error());
      if (one->key == key) return std::move(*one);
    }
    return std::nullopt;
  }

  expected<record> row_at(std::uint64_t seq) {
    by_seq_.bind(1, static_cast<std::int64_t>(seq));
    auto row = by_seq_.step();
    expected<record> out = fail(errc::corrupt, "record " + std::to_string(seq) + " is missing");
    if (!row)
      out = fail(row.error());
    else if (*row)
      out = take_row(by_seq_);
    by_seq_.reset();
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

  template <class Seqs>
  expected<std::vector<record>> rows(const Seqs& seqs) {
    std::vector<record> out;
    out.reserve(seqs.size());
    const bool together = seqs.size() > 1; // one transaction: else each row takes the file's locks
    if (together)
      if (auto begun = once(read_); !begun) return fail(in_file(begun.error()));
    std::optional<error> failed;
    for (const auto seq : seqs) {
      auto one = row_at(seq);
      if (!one) {
        failed = in_file(one.error());
        break;
      }
      out.push_back(std::move(*one));
    }
    if (together)
      if (auto ended = once(commit_); !ended && !failed) failed = in_file(ended.error());
    if (failed) return fail(std::move(*failed));
    return out;
  }

  const clock& time_;
  std::string name_;
  std::shared_ptr<left_index> left_;
  bool reader_ = false;
  sqlite::connection db_; // before the statements: they go first
  sqlite::statement insert_, begin_, read_, commit_, undo_, by_seq_, newer_;
  store_index index_;
  std::uint64_t last_seq_ = 0, kept_ = 0; ///< with and without the transaction under way
  duration busy_{};
};

expected<std::unique_ptr<event_store>> open_sqlite(const std::filesystem::path& file, const clock& time,
                                                   bool reader, std::shared_ptr<left_index> left = nullptr) {
  auto out = std::make_unique<sqlite_store>(time, file.string(), std::move(left));
  if (auto started = out->start(reader); !started) return fail(started.error());
  return out;
}

} // namespace

expected<std::unique_ptr<event_store>> event_store::open(const std::filesystem::path& file,
                                                         const clock& time) {
  return open_sqlite(file, time, false);
}

store_opener file_store(std::filesystem::path file, const clock& time) {
  return file_store(std::move(file), [&time]() -> const clock& { return time; });
}

store_opener file_store(std::filesystem::path file, std::function<const clock&()> time) {
  return [file = std::move(file), time = std::move(time), left = std::make_shared<left_index>()] {
    return open_sqlite(file, time(), false, left);
  };
}

expected<std::unique_ptr<event_store>> event_store::open_reader(const std::filesystem::path& file,
                                                                const clock& time) {
  if (!std::filesystem::exists(file)) return fail(errc::not_found, "no such store: " + file.string());
  return open_sqlite(file, time, true);
}

} // namespace troupe

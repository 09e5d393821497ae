#pragma once

#include "runtime/actor.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/store_fences.hpp"
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// One durable fact. `stream` groups what belongs together ("rollout/17"), `kind` says what it is ("turn"),
/// `key` makes it unique in the whole store ("turn/17/3"): appending the same key twice is one fact.
struct new_record {
  std::string stream, kind, key, body;
};
struct record {
  std::uint64_t seq = 0; ///< total order of commits
  std::string stream, kind, key, body;
  std::int64_t wall_ms = 0; ///< for people
};
struct append_outcome {
  std::uint64_t seq = 0;
  bool fresh = false; ///< false: it was there already, with the same body
};

/// A place in the log that names all before it: two stores with the same chain at the same seq have the same records up to there.
struct store_position {
  std::uint64_t seq = 0;   ///< 0: nothing
  std::uint32_t chain = 0; ///< CRC-32C over the checksums of all rows up to seq
};

/// What one caller wants committed: all of it or none.
using append_request = std::span<const new_record>;
using append_result = expected<std::vector<append_outcome>>;

/// The synchronous core: SQLite in WAL mode, synchronous=FULL, one writer, a versioned schema, a CRC-32C per
/// row. `event(seq, stream, kind, key, body, wall_ms, crc)`; seq starts at 1 and has no gaps, a key is there once.
/// Used by one thread at a time.
class event_store {
public:
  /// Opens or creates. Every row is read and checked; ":memory:" is a store that dies with the object.
  /// Errors: io, corrupt, version (newer schema: found and expected), disk_full, in_use (another process
  /// writes).
  static expected<std::unique_ptr<event_store>> open(const std::filesystem::path& file, const clock& time);
  /// For reading beside a running writer, which it follows: every read sees what is committed by then. Appends
  /// fail with invalid; nothing is written. Every row is checked. Errors: not_found, io, corrupt, version.
  static expected<std::unique_ptr<event_store>> open_reader(const std::filesystem::path& file,
                                                            const clock& time);
  virtual ~event_store() = default;
  /// All or none, durable when it returns. Errors: conflict (a key is there with other content: named),
  /// disk_full, io. After disk_full or io the records may still be there at the next opening: repeat them
  /// under the same keys.
  virtual append_result append(append_request records) = 0;
  /// Several requests in one commit: one that conflicts fails alone, the others are committed. One result
  /// each, in order.
  virtual std::vector<append_result> append_group(std::span<const append_request> requests);
  /// In the order of seq. Errors: corrupt (a row fails its checksum: seq named), io.
  virtual expected<std::vector<record>> read_stream(const std::string& stream) = 0;
  /// The first `most` after `after_seq`.
  virtual expected<std::vector<record>>
  read_kind(const std::string& kind, std::uint64_t after_seq = 0,
            std::size_t most = std::numeric_limits<std::size_t>::max()) = 0;
  virtual expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() = 0;
  static constexpr auto newest = ~std::uint64_t{0};
  /// The place of record `seq`, or of the newest. Errors: not_found (the log ends before), corrupt, io.
  virtual expected<store_position> position(std::uint64_t seq = newest) = 0;
  /// This object's end is that of the process's last life of the store: it then puts the write-ahead log into the file, so that the
  /// file alone is the store. Before a next life that would be time to wait, for nothing.
  virtual void last_life() {}
  /// Time spent committing, by the store's clock.
  virtual duration busy() const { return {}; }
};

/// Opens one store: a file in production, a memory in simulation. Called at every life of the store actor.
using store_opener = std::function<expected<std::unique_ptr<event_store>>()>;
/// The first opening reads and checks every row; a later one of this opener knows what the life before knew, checks that the file goes
/// on from there, and reads what is newer.
store_opener file_store(std::filesystem::path file, const clock& time);
/// The same with a clock that is asked for at every opening.
store_opener file_store(std::filesystem::path file, std::function<const clock&()> time);
/// A store in memory that outlives the actors that open it, as a file does: every call opens the same one.
store_opener memory_store(const clock& time);

// -- the store actor's messages
// ------------------------------------------------------------------------------------------
struct append_records {
  std::vector<new_record> records; ///< fenced ones are all of one stream
  write_fence fence{};
}; ///< -> std::vector<append_outcome>, after the commit. Error more: in_use (STORE-4)
struct read_stream {
  std::string stream;
}; ///< -> std::vector<record>
struct read_kind {
  std::string kind;
  std::uint64_t after_seq = 0;
}; ///< -> std::vector<record>
struct read_position {
  std::uint64_t seq = event_store::newest;
};                               ///< -> store_position
struct store_metrics_request {}; ///< -> store_metrics
struct store_metrics {
  std::uint64_t commits = 0, records = 0;
  double busy_seconds = 0;
  bool disk_full = false;
};

/// The one writer. Appends that wait in its mailbox are committed together (group commit): one fsync serves
/// all. While several senders append, commits begin at least 2 ms apart, so that a group is worth its fsync and
/// its senders' waking; a lone sender never waits for company. A read sees every append that the same sender
/// sent before it, and nothing that was sent after it. One of a whole kind is done in slices, with what came meanwhile between them: it
/// may be thousands of rows, and turns are waiting. Backpressure: senders wait for their answers.
///   STORE-1  An append is answered only after its commit is durable.
///   STORE-2  A record is stored once, however often it is appended.
///            A record that contradicts a stored one fails its own request only.
///   STORE-3  Out of space, appends fail with disk_full and nothing acknowledged is lost; it recovers when
///   space returns.
///   STORE-4  From the commit of a record of kind "fence" on, nothing of its epoch is taken in; from a record of kind "placement" on,
///            nothing for its stream that names another placement. Such an append fails with in_use, also after a restart.
/// `open` runs in the new actor, so a restart opens the file again; if it fails, the actor ends with that
/// error as its reason. Spawn detached in production.
class store_actor {
public:
  static constexpr const char* name = "store";
  /// `threads`: how it was spawned; its own thread bears its name.
  store_actor(self_ptr self, store_opener open, thread_policy threads = {false});
  behavior make_behavior();

private:
  struct pending {
    std::vector<new_record> records;
    reply<std::vector<append_outcome>> answer;
  };
  /// What is left of a read of a kind.
  struct reading {
    std::string kind;
    std::uint64_t after, until; ///< seq
    std::vector<record> rows;
    reply<std::vector<record>> answer;
  };
  void commit();
  duration time_for_company() const;
  void read_on(reading it);
  /// Commits if a waiting record is one that a read would miss.
  template <class Missed>
  void commit_before(const Missed& missed);
  self_ptr self_;
  store_opener open_;
  bool own_thread_;
  std::unique_ptr<event_store> store_;
  std::vector<pending> waiting_;
  std::deque<reading> readings_;
  std::size_t waiting_bytes_ = 0;
  store_fences fences_;
  std::size_t last_group_ = 0; ///< requests in the last commit
  std::chrono::steady_clock::time_point last_begin_{};
  store_metrics metrics_;
};

} // namespace troupe

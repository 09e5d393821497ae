#pragma once

#include "gpu/engine_core.hpp"
#include "runtime/store.hpp"
#include <map>
#include <optional>
#include <set>

namespace troupe {

/// The tokens of turns in progress, so that a crash costs no more of them than were sampled since the last write. The engine's actor
/// keeps it in memory, writes what is new as one record per interval, for all of its sequences together, and its next life
/// reads it back. A turn is named by its sequence and its context: what was sampled after any other context is not its own.
///
///   JRN-1  What it knows of a turn is a beginning of what was sampled for it: every entry names the checksum of all that precedes it,
///          context included, and is taken for nothing else.
///   JRN-2  Tokens of weights that a rollback undid are gone, those that it has as well as those that it reads.
///   JRN-3  The newest records say from where on records are needed, and what is more than `span` records back is written again:
///          reading back is bounded however long the run. What is complete when an interval ends is not written; of what was written and
///          is forgotten, the next record says so. What was read back and nobody asks for holds it back for `found_span` records only.
/// Pure: no I/O, no time, no threads.
class token_journal {
public:
  static constexpr const char* kind = "tokens"; ///< of its records, and their stream
  static constexpr std::uint64_t span = 1000, found_span = 100;

  struct turn {
    std::size_t position = 0;  ///< length of the context before it
    std::uint32_t context = 0; ///< its checksum
    std::vector<token> tokens;
    std::vector<float> logprobs;
    std::vector<std::uint64_t> versions;
  };

  // -- turns
  /// What is known of the turn that a request asks for; null: nothing.
  const turn* find(const generate_request& request) const;
  /// The newest turn of a sequence; null: nothing is known.
  const turn* of(std::uint64_t sequence) const {
    const auto found = turns_.find(sequence);
    return found == turns_.end() ? nullptr : &found->second;
  }
  /// A turn begins, or goes on after what is known of it; what was known of an older one of the sequence is forgotten.
  void begin(const generate_request& request);
  void add(const token_news& news,
           std::size_t known); ///< `known`: tokens of the turn that its request had already
  /// It is told: only its next life could ask again, within this process.
  void told(std::uint64_t sequence);
  void forget(std::uint64_t sequence);
  /// The weights went back to `version`: gives the sequences that lost tokens.
  std::vector<std::uint64_t> roll_back(std::uint64_t version);

  // -- records
  /// What is not written yet; nothing if there is none. One at a time: `written` or `refused` follows. `lineage`: rollbacks before the
  /// weights that sampled them.
  std::optional<new_record> unwritten(std::uint64_t lineage);
  bool has_unwritten() const;
  void written(std::uint64_t seq);
  /// `taken`: the record's key is another life's.
  void refused(bool taken);

  // -- reading back
  /// Takes in the records that the newest ones need, oldest first. `undone`: the steps that each rollback of the run went back to, in
  /// order. Errors: corrupt.
  expected<void> read(const std::vector<record>& records, const std::vector<std::uint64_t>& undone);
  /// From which seq on `records` (the newest of their kind) need others. Errors: corrupt.
  static expected<std::uint64_t> needed_from(const std::vector<record>& records);
  /// Of a run's records of rollbacks, in order: the steps that each went back to. Errors: corrupt.
  static expected<std::vector<std::uint64_t>> undone_by(const std::vector<record>& rollbacks);

private:
  struct entry : turn {
    std::size_t written = 0;        ///< tokens that are durable
    std::size_t in_flight = 0;      ///< tokens once the record on its way is durable
    std::uint64_t first_seq = 0;    ///< of the record that has its beginning; 0: none yet
    std::uint64_t first_number = 0; ///< how many records were written before that one
    bool told = false;
    bool found = false;   ///< read back, and nobody has asked for it yet
    bool on_disk = false; ///< a record names its sequence
  };
  bool due(const entry& it) const {
    return !it.told && !it.tokens.empty() &&
           (it.tokens.size() > it.written || (it.first_seq == 0 && !it.found));
  }
  bool far_back(const entry& it, std::uint64_t by = span) const {
    return it.first_seq > 0 && number_ > by + it.first_number;
  }

  std::map<std::uint64_t, entry> turns_;   ///< by sequence
  std::set<std::uint64_t> over_;           ///< forgotten sequences that records name
  std::set<std::uint64_t> over_in_flight_; ///< those that the record on its way says so of
  std::uint64_t number_ = 0;               ///< of the next record: part of its key
};

} // namespace troupe

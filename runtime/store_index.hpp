#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Sequence numbers (1, 2, ...) by the hash of a text, in one array: 8 bytes a place, at most three quarters of them taken. A hash
/// may be shared by several texts; who asks compares.
class seq_table {
public:
  /// The number of an entry of this hash, or null; it may be changed.
  std::uint32_t* find(std::uint32_t hash);
  std::vector<std::uint64_t> all(std::uint32_t hash) const;
  void add(std::uint32_t hash, std::uint32_t seq);
  /// Takes the entry out; it is there.
  void remove(std::uint32_t hash, std::uint32_t seq);

private:
  struct place {
    std::uint32_t hash = 0, seq = 0; ///< seq 0: free
  };
  std::size_t next(std::size_t at) const { return (at + 1) & (places_.size() - 1); }
  std::size_t home(std::uint32_t hash) const { return hash & (places_.size() - 1); }
  void put(place it);

  std::vector<place> places_; ///< a power of two of them
  std::size_t taken_ = 0;
};

/// Where the records of a store are, by key, stream and kind. It is kept in memory and made from the rows that every opening reads
/// anyway: indexes on disk would cost a commit twice what its rows cost, in pages touched all over the file
/// (docs/decisions/0007). About 30 bytes a record. Records enter with seq 1, 2, ... and leave from the newest on.
class store_index {
public:
  using seqs = std::vector<std::uint64_t>;
  static std::uint32_t hash_of(std::string_view text);
  static constexpr std::uint64_t most = ~std::uint32_t{0}; ///< records

  void add(std::string_view stream, std::string_view kind, std::uint32_t key_hash, std::uint32_t checksum);
  /// Takes back every record after `seq`, all of which were added since the last `keep`.
  void forget_after(std::uint64_t seq);
  /// What was added so far stays.
  void keep() { since_kept_.clear(); }
  std::uint64_t size() const { return chain_.size(); }

  /// Records whose key may be the one with this hash: mostly none or one; the caller compares.
  seqs candidates(std::uint32_t key_hash) const { return keys_.all(key_hash); }
  /// In rising order; those of another stream may be among them, the caller compares.
  seqs of_stream(std::string_view stream) const;
  /// Those of a kind with a seq above `after`.
  std::span<const std::uint32_t> of_kind(std::string_view kind, std::uint64_t after) const;
  std::vector<std::pair<std::string, std::uint64_t>> count_kinds() const;
  /// The chain with one checksum more.
  static std::uint32_t chained(std::uint32_t chain, std::uint32_t checksum);
  /// Over the checksums of the first `seq` records, all of which are here.
  std::uint32_t chain(std::uint64_t seq) const { return seq == 0 ? 0 : chain_[seq - 1]; }

private:
  struct entry {
    std::uint32_t key_hash, stream_hash;
    std::vector<std::uint32_t>* kind; ///< a map's nodes stay where they are
  };
  seq_table keys_;
  seq_table newest_; ///< of each stream
  std::map<std::string, std::vector<std::uint32_t>, std::less<>> kinds_;
  std::vector<std::uint32_t> chain_,
      before_; ///< by seq - 1: the checksums so far; the stream's record before, 0: none
  std::vector<entry> since_kept_;
};

} // namespace troupe

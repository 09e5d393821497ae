#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace troupe {

/// Where the records of a store are, by key, stream and kind. It is kept in memory and made from the rows that every opening reads
/// anyway: indexes on disk would cost a commit twice what its rows cost, in pages touched all over the file
/// (docs/decisions/0007). About 80 bytes a record. Records enter with rising seq and leave from the newest on.
class store_index {
public:
  using seqs = std::vector<std::uint64_t>;
  static std::uint64_t hash_of(std::string_view key) { return std::hash<std::string_view>{}(key); }

  void add(std::uint64_t seq, std::string_view stream, std::string_view kind, std::uint64_t key_hash,
           std::uint32_t checksum);
  /// Takes back every record after `seq` that was added since the last `keep`.
  void forget_after(std::uint64_t seq);
  /// What was added so far stays.
  void keep() { since_kept_.clear(); }

  /// Records whose key may be the one with this hash: mostly none or one; the caller compares.
  seqs candidates(std::uint64_t key_hash) const;
  const seqs& of_stream(std::string_view stream) const { return found(streams_, stream); }
  /// Those of a kind with a seq above `after`.
  std::span<const std::uint64_t> of_kind(std::string_view kind, std::uint64_t after) const;
  std::vector<std::pair<std::string, std::uint64_t>> count_kinds() const;
  /// Over the checksums of the first `seq` records, all of which are here.
  std::uint32_t chain(std::uint64_t seq) const { return seq == 0 ? 0 : chain_[seq - 1]; }

private:
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using by_name = std::unordered_map<std::string, seqs, text_hash, std::equal_to<>>;
  struct entry {
    std::uint64_t seq, key_hash;
    seqs *stream, *kind; ///< a map's nodes stay where they are
  };
  static const seqs& found(const by_name& in, std::string_view name);
  static seqs& made(by_name& in, std::string_view name);

  std::unordered_multimap<std::uint64_t, std::uint64_t> keys_;
  by_name streams_, kinds_;
  std::vector<std::uint32_t> chain_;
  std::vector<entry> since_kept_;
};

} // namespace troupe

#pragma once

#include "gpu/tokenizer.hpp"
#include <array>
#include <map>
#include <optional>
#include <shared_mutex>
#include <unordered_map>

namespace troupe {

/// One merge rule: wherever `left` stands before `right`, they become `result`. Rules apply in the order of
/// their rank.
struct bpe_merge {
  token left = 0, right = 0, result = 0;
};

/// The next piece of `text` by the pre-split rule, which no merge crosses; `text` is not empty. The rule, as
/// the regular expression that tokenizer.json carries, is `split_pattern`. Bytes from 0x80 on count as
/// letters, so that the rule needs no Unicode tables and holds for invalid UTF-8 as well.
std::string_view next_piece(std::string_view text);
extern const std::string_view split_pattern;

/// Merges found on the texts' pieces until there are `count` of them or no pair occurs twice. Ids of results
/// count up from `first_result`; byte b has the id `first_byte` + b. The most frequent pair goes first, among
/// equals the one with the smaller ids. A merge whose result would read like a name in `reserved` (as
/// symbols) is never made.
std::vector<bpe_merge> train_merges(const std::vector<std::string>& texts, token first_byte,
                                    token first_result, int count, const std::vector<std::string>& reserved);

struct tokenizer::tables {
  std::vector<std::string> bytes; ///< by id; a special token's is its name
  std::map<std::string, token, std::less<>> specials;
  std::vector<bool> special_ids; ///< by id
  std::array<token, 256> byte_ids{};
  std::vector<bpe_merge> merges;                         ///< by rank
  std::unordered_map<std::uint64_t, std::int32_t> ranks; ///< of pair_key(left, right)

  static std::uint64_t pair_key(token left, token right) {
    return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
  }
  void index_merges();
  /// Applies the merges to one piece and appends its tokens.
  void merge_piece(std::string_view piece, std::vector<token>& out) const;
  void encode(std::string_view text, std::vector<token>& out) const;

private:
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  void merge_short(std::vector<token>& symbols) const;
  void merge_long(std::vector<token>& symbols) const;

  /// Pieces seen before. A cache only: it never changes what encode returns.
  mutable std::shared_mutex mutex_;
  mutable std::unordered_map<std::string, std::vector<token>, text_hash, std::equal_to<>> cache_;
};

} // namespace troupe

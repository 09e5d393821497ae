#pragma once

#include "gpu/text/added_tokens.hpp"
#include "gpu/text/normalizer.hpp"
#include "gpu/text/pre_tokenizer.hpp"
#include "gpu/tokenizer.hpp"
#include <array>
#include <map>
#include <optional>
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

/// From a pair of neighbours to its merge: open addressing, one line of cache for most look-ups.
class merge_table {
public:
  struct entry {
    std::uint64_t pair = ~std::uint64_t{0};
    std::int32_t rank = 0;
    token result = 0;
  };
  /// Of a pair that is listed twice, the later one counts.
  explicit merge_table(const std::vector<bpe_merge>& merges = {});
  const entry* find(token left, token right) const;

private:
  static std::uint64_t key(token left, token right) {
    return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
  }
  std::size_t place(std::uint64_t pair) const;
  std::vector<entry> entries_; ///< a power of two, at most half full
  int shift_ = 0;
};

/// The parts of tokenizer.json that are kept as they were read, for writing them again.
struct tokenizer_parts {
  json::value normalizer, pre_tokenizer, post_processor, decoder;
};

/// Those of a tokenizer of Troupe's own training.
tokenizer_parts own_parts();

struct tokenizer::tables {
  std::vector<std::string> bytes; ///< by id; an added token's is its name; empty for an id that nothing has
  std::map<std::string, token, std::less<>> names; ///< of the added tokens
  std::vector<added_token> added;                  ///< in the order of the file
  std::vector<bool> added_ids, special_ids;        ///< by id
  std::array<token, 256> byte_ids{};               ///< -1: the vocabulary lacks this byte
  std::vector<bpe_merge> merges;                   ///< by rank
  std::unordered_map<std::string, token>
      whole;          ///< words that are tokens as they are ("ignore_merges"), or empty
  token unknown = -1; ///< for a byte that the vocabulary lacks; -1: it vanishes
  bool fuse_unknown = false;
  bool own_split = true; ///< by next_piece; otherwise by `splits`
  normalizer normal;
  pre_tokenizer splits;
  std::vector<token> before, after; ///< what the post-processor puts around a text
  tokenizer_parts parts;

  /// After the fields above are filled.
  void make_indices();
  void encode(std::string_view text, text_rules rules, std::vector<token>& out) const;

private:
  void encode_text(std::string_view text, bool read_added, std::vector<token>& out) const;
  void encode_valid(std::string_view text, bool read_added, std::vector<token>& out) const;
  void encode_normal(std::string_view text, std::vector<token>& out) const;
  /// Appends the tokens of one word, from this thread's memory of words if it has been seen.
  void append_word(std::string_view word, std::vector<token>& out) const;
  void merge_word(std::string_view word, std::vector<token>& out) const;
  void merge_short(std::vector<token>& symbols) const;
  void merge_long(std::vector<token>& symbols) const;

  merge_table ranks_;
  added_token_finder raw_names_, normal_names_;
  std::uint32_t serial_ = 0; ///< tells tokenizers apart in the memory of words
};

} // namespace troupe

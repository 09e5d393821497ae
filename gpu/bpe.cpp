#include "gpu/bpe.hpp"

#include <atomic>
#include <bit>
#include <cstring>
#include <limits>
#include <queue>

namespace troupe {

const std::string_view split_pattern =
    " ?(?:[A-Za-z]|[^\\x00-\\x7F])+|[0-9]| ?[\\x00-\\x08\\x0E-\\x1F!-/:-@\\[-`{-\\x7F]+|"
    "[\\t-\\r ]+(?![^\\t-\\r ])|[\\t-\\r ]+";

namespace {

constexpr std::size_t short_piece = 48;
constexpr std::int32_t no_rank = std::numeric_limits<std::int32_t>::max();

enum class byte_class : std::uint8_t { letter, digit, space, symbol };

byte_class class_of(char c) {
  const auto b = static_cast<unsigned char>(c);
  if (b >= 0x80 || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z')) return byte_class::letter;
  if (b >= '0' && b <= '9') return byte_class::digit;
  if (b == ' ' || (b >= '\t' && b <= '\r')) return byte_class::space;
  return byte_class::symbol;
}

std::size_t run_end(std::string_view text, std::size_t from, byte_class kind) {
  while (from < text.size() && class_of(text[from]) == kind) ++from;
  return from;
}

/// A thread's memory of the words that it has met: a table that forgets what it overwrites. It never changes what encode
/// returns, and needs no lock.
struct remembered_word {
  std::uint32_t owner = 0; ///< a tokenizer's serial; 0: nothing
  std::uint8_t length = 0, count = 0;
  char text[30];
  token ids[11];
};
constexpr std::size_t remembered_words = 1 << 14;

remembered_word& memory_of(std::uint32_t owner, std::string_view word) {
  thread_local const auto words = std::make_unique<remembered_word[]>(remembered_words);
  std::uint64_t hash = (std::uint64_t{owner} << 32) ^ word.size();
  for (std::size_t at = 0; at < word.size(); at += 8) {
    std::uint64_t part = 0;
    std::memcpy(&part, word.data() + at, std::min<std::size_t>(8, word.size() - at));
    hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return words[hash % remembered_words];
}

} // namespace

std::string_view next_piece(std::string_view text) {
  const auto first = class_of(text[0]);
  if (first == byte_class::digit) return text.substr(0, 1);
  if (first != byte_class::space) return text.substr(0, run_end(text, 0, first));
  if (text[0] == ' ' && text.size() > 1) {
    const auto second = class_of(text[1]);
    if (second == byte_class::letter || second == byte_class::symbol)
      return text.substr(0, run_end(text, 1, second));
  }
  const auto end = run_end(text, 0, byte_class::space);
  return text.substr(0, end < text.size() && end > 1 ? end - 1 : end); // the last one belongs to what follows
}

merge_table::merge_table(const std::vector<bpe_merge>& merges)
    : entries_(std::bit_ceil(2 * merges.size() + 2)) {
  shift_ = 64 - std::countr_zero(entries_.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto pair = key(merges[rank].left, merges[rank].right);
    entries_[place(pair)] = {pair, static_cast<std::int32_t>(rank), merges[rank].result};
  }
}

std::size_t merge_table::place(std::uint64_t pair) const {
  auto at = static_cast<std::size_t>((pair * 0x9E3779B97F4A7C15u) >> shift_);
  while (entries_[at].pair != pair && entries_[at].pair != ~std::uint64_t{0})
    at = (at + 1) & (entries_.size() - 1);
  return at;
}

const merge_table::entry* merge_table::find(token left, token right) const {
  const auto pair = key(left, right);
  const auto& found = entries_[place(pair)];
  return found.pair == pair ? &found : nullptr;
}

void tokenizer::tables::make_indices() {
  static std::atomic<std::uint32_t> last_serial{0};
  serial_ = ++last_serial;
  ranks_ = merge_table(merges);
  std::string room;
  for (auto& one : added) {
    if (one.normalized)
      normal_names_.add(well_formed_utf8(one.content) ? normal.apply(one.content, room) : one.content, one);
    else
      raw_names_.add(one.content, one);
  }
}

/// Merges the pair of least rank, the leftmost of equals, until none is left. Ranks of neighbours are looked up once.
void tokenizer::tables::merge_short(std::vector<token>& symbols) const {
  struct neighbour {
    std::int32_t rank;
    token result;
  };
  std::array<neighbour, short_piece> right; // what a symbol and the one after it make
  const auto look = [&](std::size_t i) {
    const auto* found = i + 1 < symbols.size() ? ranks_.find(symbols[i], symbols[i + 1]) : nullptr;
    right[i] = found ? neighbour{found->rank, found->result} : neighbour{no_rank, 0};
  };
  auto n = symbols.size();
  for (std::size_t i = 0; i < n; ++i) look(i);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i)
      if (right[i].rank < right[best].rank) best = i;
    if (right[best].rank == no_rank) return;
    symbols[best] = right[best].result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(right.begin() + static_cast<std::ptrdiff_t>(best) + 2,
              right.begin() + static_cast<std::ptrdiff_t>(n),
              right.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    --n;
    look(best);
    if (best > 0) look(best - 1);
  }
}

/// The same in O(n log n): a list of symbols and a heap of (rank, place), for pieces of any length.
void tokenizer::tables::merge_long(std::vector<token>& symbols) const {
  using candidate = std::pair<std::int32_t, std::int32_t>;
  const auto n = static_cast<std::int32_t>(symbols.size());
  std::vector<std::int32_t> next(symbols.size()), previous(symbols.size());
  std::priority_queue<candidate, std::vector<candidate>, std::greater<>> heap;
  auto consider = [&](std::int32_t left) {
    if (left < 0 || next[left] >= n) return;
    if (const auto* found = ranks_.find(symbols[left], symbols[next[left]])) heap.emplace(found->rank, left);
  };
  for (std::int32_t i = 0; i < n; ++i) next[i] = i + 1, previous[i] = i - 1;
  for (std::int32_t i = 0; i < n; ++i) consider(i);
  while (!heap.empty()) {
    const auto [rank, left] = heap.top();
    heap.pop();
    const auto& rule = merges[static_cast<std::size_t>(rank)];
    const auto right = next[left];
    if (symbols[left] != rule.left || right >= n || symbols[right] != rule.right) continue; // stale
    symbols[left] = rule.result;
    symbols[right] = -1;
    next[left] = next[right];
    if (next[left] < n) previous[next[left]] = left;
    consider(previous[left]);
    consider(left);
  }
  std::erase(symbols, -1);
}

void tokenizer::tables::merge_word(std::string_view word, std::vector<token>& out) const {
  if (!whole.empty())
    if (const auto found = whole.find(std::string(word)); found != whole.end())
      return out.push_back(found->second);
  std::vector<token> symbols;
  symbols.reserve(word.size());
  bool unknown_before = false;
  for (unsigned char byte : word) {
    const auto id = byte_ids[byte];
    if (id >= 0)
      symbols.push_back(id);
    else if (unknown >= 0 && !(fuse_unknown && unknown_before))
      symbols.push_back(unknown);
    unknown_before = id < 0;
  }
  symbols.size() <= short_piece ? merge_short(symbols) : merge_long(symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void tokenizer::tables::append_word(std::string_view word, std::vector<token>& out) const {
  if (word.size() > sizeof(remembered_word::text)) return merge_word(word, out);
  auto& known = memory_of(serial_, word);
  if (known.owner == serial_ && known.length == word.size() &&
      std::memcmp(known.text, word.data(), word.size()) == 0) {
    out.insert(out.end(), known.ids, known.ids + known.count);
    return;
  }
  const auto before_it = out.size();
  merge_word(word, out);
  const auto count = out.size() - before_it;
  if (count > std::size(known.ids)) return;
  known.owner = serial_;
  known.length = static_cast<std::uint8_t>(word.size());
  known.count = static_cast<std::uint8_t>(count);
  std::memcpy(known.text, word.data(), word.size());
  std::copy_n(out.end() - static_cast<std::ptrdiff_t>(count), count, known.ids);
}

void tokenizer::tables::encode_normal(std::string_view text, std::vector<token>& out) const {
  std::string spaced;
  if (splits.adds_prefix_space() && !text.empty() && text[0] != ' ') {
    spaced = ' ' + std::string(text);
    text = spaced;
  }
  splits.split(text, [&](std::string_view word) { append_word(word, out); });
}

void tokenizer::tables::encode_valid(std::string_view text, bool read_added, std::vector<token>& out) const {
  std::string room;
  text = normal.apply(text, room);
  if (!read_added || normal_names_.empty()) return encode_normal(text, out);
  normal_names_.find(
      text, [&](std::string_view part) { encode_normal(part, out); }, [&](token id) { out.push_back(id); });
}

/// Bytes that are not UTF-8 have no characters to normalise or to split by: each run of them is a word of its own, so that it, too, can
/// be decoded again.
void tokenizer::tables::encode_text(std::string_view text, bool read_added, std::vector<token>& out) const {
  if (own_split) {
    while (!text.empty()) {
      const auto piece = next_piece(text);
      text.remove_prefix(piece.size());
      append_word(piece, out);
    }
    return;
  }
  if (well_formed_utf8(text)) return encode_valid(text, read_added, out);
  for (std::size_t at = 0; at < text.size();) {
    auto end = at;
    while (const auto n = utf8_length(text, end)) end += n;
    encode_valid(text.substr(at, end - at), read_added, out);
    at = end;
    while (end < text.size() && utf8_length(text, end) == 0) ++end;
    if (end > at) append_word(text.substr(at, end - at), out);
    at = end;
  }
}

void tokenizer::tables::encode(std::string_view text, text_rules rules, std::vector<token>& out) const {
  if (rules.add_template) out.insert(out.end(), before.begin(), before.end());
  if (rules.read_added && !raw_names_.empty())
    raw_names_.find(
        text, [&](std::string_view part) { encode_text(part, true, out); },
        [&](token id) { out.push_back(id); });
  else
    encode_text(text, rules.read_added, out);
  if (rules.add_template) out.insert(out.end(), after.begin(), after.end());
}

} // namespace troupe

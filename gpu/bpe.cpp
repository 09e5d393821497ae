#include "gpu/bpe.hpp"

#include <limits>
#include <mutex>
#include <queue>

namespace troupe {

const std::string_view split_pattern =
    " ?(?:[A-Za-z]|[^\\x00-\\x7F])+|[0-9]| ?[\\x00-\\x08\\x0E-\\x1F!-/:-@\\[-`{-\\x7F]+|"
    "[\\t-\\r ]+(?![^\\t-\\r ])|[\\t-\\r ]+";

namespace {

constexpr std::size_t short_piece = 48, cached_piece = 64, cached_pieces = 1 << 16;

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

void tokenizer::tables::index_merges() {
  ranks.reserve(merges.size() * 2);
  for (std::size_t rank = 0; rank < merges.size(); ++rank)
    ranks.emplace(pair_key(merges[rank].left, merges[rank].right), static_cast<std::int32_t>(rank));
}

void tokenizer::tables::merge_short(std::vector<token>& symbols) const {
  for (;;) {
    std::int32_t best = std::numeric_limits<std::int32_t>::max();
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find(pair_key(symbols[i], symbols[i + 1]));
      if (found != ranks.end() && found->second < best) best = found->second;
    }
    if (best == std::numeric_limits<std::int32_t>::max()) return;
    const auto& rule = merges[static_cast<std::size_t>(best)];
    std::size_t to = 0;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const bool here = i + 1 < symbols.size() && symbols[i] == rule.left && symbols[i + 1] == rule.right;
      symbols[to++] = here ? rule.result : symbols[i];
      i += here;
    }
    symbols.resize(to);
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
    const auto found = ranks.find(pair_key(symbols[left], symbols[next[left]]));
    if (found != ranks.end()) heap.emplace(found->second, left);
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

void tokenizer::tables::merge_piece(std::string_view piece, std::vector<token>& out) const {
  std::vector<token> symbols;
  symbols.reserve(piece.size());
  for (unsigned char byte : piece) symbols.push_back(byte_ids[byte]);
  piece.size() <= short_piece ? merge_short(symbols) : merge_long(symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void tokenizer::tables::encode(std::string_view text, std::vector<token>& out) const {
  std::vector<std::pair<std::string, std::vector<token>>> fresh;
  {
    std::shared_lock lock(mutex_);
    while (!text.empty()) {
      const auto piece = next_piece(text);
      text.remove_prefix(piece.size());
      if (piece.size() == 1) {
        out.push_back(byte_ids[static_cast<unsigned char>(piece[0])]);
      } else if (piece.size() > cached_piece) {
        merge_piece(piece, out);
      } else if (const auto found = cache_.find(piece); found != cache_.end()) {
        out.insert(out.end(), found->second.begin(), found->second.end());
      } else {
        std::vector<token> tokens;
        merge_piece(piece, tokens);
        out.insert(out.end(), tokens.begin(), tokens.end());
        if (fresh.size() < 1024) fresh.emplace_back(piece, std::move(tokens));
      }
    }
  }
  if (fresh.empty()) return;
  std::unique_lock lock(mutex_);
  if (cache_.size() + fresh.size() > cached_pieces) cache_.clear();
  for (auto& [piece, tokens] : fresh) cache_.insert_or_assign(std::move(piece), std::move(tokens));
}

} // namespace troupe

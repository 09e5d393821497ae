#include "gpu/bpe.hpp"
#include "gpu/byte_symbols.hpp"

#include <algorithm>
#include <queue>
#include <unordered_set>

namespace troupe {

namespace {

struct piece_count {
  std::vector<token> symbols;
  std::int64_t count = 0;
};

/// A pair in the queue with the count it had then; stale entries are put back with the true count when they
/// come up.
struct queued_pair {
  std::int64_t count;
  std::uint64_t pair;
  bool operator<(const queued_pair& other) const { // the greatest comes first
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

constexpr auto key = [](token left, token right) {
  return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
};

std::vector<piece_count> distinct_pieces(const std::vector<std::string>& texts, token first_byte) {
  std::unordered_map<std::string_view, std::size_t> index;
  std::vector<piece_count> pieces; // in the order of first occurrence
  for (std::string_view text : texts)
    while (!text.empty()) {
      const auto piece = next_piece(text);
      text.remove_prefix(piece.size());
      const auto [at, fresh] = index.try_emplace(piece, pieces.size());
      if (fresh) {
        piece_count made;
        for (unsigned char byte : piece) made.symbols.push_back(first_byte + byte);
        pieces.push_back(std::move(made));
      }
      ++pieces[at->second].count;
    }
  return pieces;
}

} // namespace

std::vector<bpe_merge> train_merges(const std::vector<std::string>& texts, token first_byte,
                                    token first_result, int count, const std::vector<std::string>& reserved) {
  auto pieces = distinct_pieces(texts, first_byte);
  std::unordered_map<std::uint64_t, std::int64_t> counts;
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> places; // pieces that hold, or held, the pair
  for (std::uint32_t p = 0; p < pieces.size(); ++p)
    for (std::size_t i = 0; i + 1 < pieces[p].symbols.size(); ++i) {
      const auto pair = key(pieces[p].symbols[i], pieces[p].symbols[i + 1]);
      counts[pair] += pieces[p].count;
      auto& where = places[pair];
      if (where.empty() || where.back() != p) where.push_back(p);
    }
  std::priority_queue<queued_pair> queue;
  for (auto& [pair, n] : counts) queue.push({n, pair});

  std::vector<std::string> spelled(static_cast<std::size_t>(first_byte) + 256);
  for (int byte = 0; byte < 256; ++byte) spelled[first_byte + byte] = std::string(1, static_cast<char>(byte));
  std::unordered_set<std::string> taken; // two routes to one spelling would be two ids for one symbol
  for (auto& name : reserved) {
    if (auto bytes = symbols_to_bytes(name)) taken.insert(*bytes);
  }
  spelled.resize(static_cast<std::size_t>(first_result));
  std::vector<bpe_merge> merges;
  while (static_cast<int>(merges.size()) < count && !queue.empty()) {
    const auto top = queue.top();
    queue.pop();
    const auto now = counts[top.pair];
    if (now != top.count) {
      if (now > 1) queue.push({now, top.pair});
      continue;
    }
    if (top.count < 2) break;
    const auto left = static_cast<token>(top.pair >> 32), right = static_cast<token>(top.pair & 0xFFFFFFFF);
    auto text = spelled[left] + spelled[right];
    if (!taken.insert(text).second) continue;
    const auto result = static_cast<token>(spelled.size());
    spelled.push_back(std::move(text));
    merges.push_back({left, right, result});

    std::unordered_set<std::uint64_t> grown;
    for (auto p : places[top.pair]) {
      auto& symbols = pieces[p].symbols;
      const auto weight = pieces[p].count;
      auto add = [&](token a, token b, std::int64_t n) {
        const auto pair = key(a, b);
        counts[pair] += n;
        if (n < 0) return;
        auto& where = places[pair];
        if (where.empty() || where.back() != p) where.push_back(p);
        grown.insert(pair);
      };
      std::size_t to = 0;
      for (std::size_t i = 0; i < symbols.size(); ++i) {
        if (i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right) {
          if (to > 0) add(symbols[to - 1], left, -weight), add(symbols[to - 1], result, weight);
          if (i + 2 < symbols.size())
            add(right, symbols[i + 2], -weight), add(result, symbols[i + 2], weight);
          symbols[to++] = result;
          ++i;
        } else {
          symbols[to++] = symbols[i];
        }
      }
      symbols.resize(to);
    }
    counts.erase(top.pair);
    places.erase(top.pair);
    for (auto pair : grown)
      if (auto n = counts.find(pair); n != counts.end() && n->second > 1) queue.push({n->second, pair});
  }
  return merges;
}

} // namespace troupe

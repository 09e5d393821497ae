#include "runtime/store_index.hpp"

#include "runtime/base/hash.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace troupe {

const store_index::seqs& store_index::found(const by_name& in, std::string_view name) {
  static const seqs none;
  const auto it = in.find(name);
  return it == in.end() ? none : it->second;
}

store_index::seqs& store_index::made(by_name& in, std::string_view name) {
  const auto it = in.find(name);
  return it != in.end() ? it->second : in.emplace(std::string(name), seqs{}).first->second;
}

void store_index::add(std::uint64_t seq, std::string_view stream, std::string_view kind,
                      std::uint64_t key_hash, std::uint32_t checksum) {
  auto &of_stream = made(streams_, stream), &of_kind = made(kinds_, kind);
  of_stream.push_back(seq);
  of_kind.push_back(seq);
  keys_.emplace(key_hash, seq);
  std::array<char, sizeof checksum> bytes;
  std::memcpy(bytes.data(), &checksum, sizeof checksum);
  chain_.push_back(crc32c({bytes.data(), bytes.size()}, chain(chain_.size())));
  since_kept_.push_back({seq, key_hash, &of_stream, &of_kind});
}

void store_index::forget_after(std::uint64_t seq) {
  for (; !since_kept_.empty() && since_kept_.back().seq > seq; since_kept_.pop_back()) {
    const auto& last = since_kept_.back();
    last.stream->pop_back();
    last.kind->pop_back();
    chain_.pop_back();
    const auto [begin, end] = keys_.equal_range(last.key_hash);
    keys_.erase(std::find_if(begin, end, [&](const auto& one) { return one.second == last.seq; }));
  }
}

store_index::seqs store_index::candidates(std::uint64_t key_hash) const {
  seqs out;
  const auto [begin, end] = keys_.equal_range(key_hash);
  for (auto it = begin; it != end; ++it) out.push_back(it->second);
  return out;
}

std::span<const std::uint64_t> store_index::of_kind(std::string_view kind, std::uint64_t after) const {
  const auto& all = found(kinds_, kind);
  return {std::upper_bound(all.begin(), all.end(), after), all.end()};
}

std::vector<std::pair<std::string, std::uint64_t>> store_index::count_kinds() const {
  std::map<std::string, std::uint64_t> sorted;
  for (const auto& [kind, seqs] : kinds_)
    if (!seqs.empty()) sorted[kind] = seqs.size();
  return {sorted.begin(), sorted.end()};
}

} // namespace troupe

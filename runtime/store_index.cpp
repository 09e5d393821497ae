#include "runtime/store_index.hpp"

#include "runtime/base/hash.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace troupe {

// -- seq_table: linear probing; a removed entry's successors move up, so that no marks of the dead are needed.

void seq_table::put(place it) {
  auto at = home(it.hash);
  while (places_[at].seq != 0) at = next(at);
  places_[at] = it;
}

void seq_table::add(std::uint32_t hash, std::uint32_t seq) {
  if (4 * (taken_ + 1) > 3 * places_.size()) {
    const auto old =
        std::exchange(places_, std::vector<place>(std::max<std::size_t>(16, 2 * places_.size())));
    for (const auto& one : old)
      if (one.seq != 0) put(one);
  }
  put({hash, seq});
  ++taken_;
}

std::vector<std::uint64_t> seq_table::all(std::uint32_t hash) const {
  std::vector<std::uint64_t> out;
  if (places_.empty()) return out;
  for (auto at = home(hash); places_[at].seq != 0; at = next(at))
    if (places_[at].hash == hash) out.push_back(places_[at].seq);
  return out;
}

std::uint32_t* seq_table::find(std::uint32_t hash) {
  if (places_.empty()) return nullptr;
  for (auto at = home(hash); places_[at].seq != 0; at = next(at))
    if (places_[at].hash == hash) return &places_[at].seq;
  return nullptr;
}

void seq_table::remove(std::uint32_t hash, std::uint32_t seq) {
  auto hole = home(hash);
  while (places_[hole].hash != hash || places_[hole].seq != seq) hole = next(hole);
  const auto mask = places_.size() - 1;
  for (auto at = next(hole); places_[at].seq != 0; at = next(at)) {
    // What lies at `at` may fill the hole unless its home is behind the hole.
    if (((at - home(places_[at].hash)) & mask) < ((at - hole) & mask)) continue;
    places_[hole] = places_[at];
    hole = at;
  }
  places_[hole] = {};
  --taken_;
}

// -- store_index

std::uint32_t store_index::hash_of(std::string_view text) {
  const std::uint64_t wide = std::hash<std::string_view>{}(text);
  return static_cast<std::uint32_t>(wide ^ (wide >> 32));
}

std::uint32_t store_index::chained(std::uint32_t chain, std::uint32_t checksum) {
  std::array<char, sizeof checksum> bytes;
  std::memcpy(bytes.data(), &checksum, sizeof checksum);
  return crc32c({bytes.data(), bytes.size()}, chain);
}

void store_index::add(std::string_view stream, std::string_view kind, std::uint32_t key_hash,
                      std::uint32_t checksum) {
  const auto seq = static_cast<std::uint32_t>(size() + 1);
  const auto stream_hash = hash_of(stream);
  auto of_kind = kinds_.find(kind);
  if (of_kind == kinds_.end()) of_kind = kinds_.emplace(kind, std::vector<std::uint32_t>{}).first;
  of_kind->second.push_back(seq);
  keys_.add(key_hash, seq);
  if (auto* newest = newest_.find(stream_hash)) {
    before_.push_back(*newest);
    *newest = seq;
  } else {
    before_.push_back(0);
    newest_.add(stream_hash, seq);
  }
  chain_.push_back(chained(chain(size()), checksum));
  since_kept_.push_back({key_hash, stream_hash, &of_kind->second});
}

void store_index::forget_after(std::uint64_t seq) {
  for (; size() > seq; since_kept_.pop_back()) {
    const auto& last = since_kept_.back();
    const auto at = static_cast<std::uint32_t>(size());
    last.kind->pop_back();
    keys_.remove(last.key_hash, at);
    if (before_.back() == 0)
      newest_.remove(last.stream_hash, at);
    else
      *newest_.find(last.stream_hash) = before_.back();
    before_.pop_back();
    chain_.pop_back();
  }
}

store_index::seqs store_index::of_stream(std::string_view stream) const {
  seqs out = newest_.all(hash_of(stream));
  while (!out.empty() && before_[out.back() - 1] != 0) out.push_back(before_[out.back() - 1]);
  std::reverse(out.begin(), out.end());
  return out;
}

std::span<const std::uint32_t> store_index::of_kind(std::string_view kind, std::uint64_t after) const {
  const auto it = kinds_.find(kind);
  if (it == kinds_.end()) return {};
  return {std::upper_bound(it->second.begin(), it->second.end(), after), it->second.end()};
}

std::vector<std::pair<std::string, std::uint64_t>> store_index::count_kinds() const {
  std::vector<std::pair<std::string, std::uint64_t>> out;
  for (const auto& [kind, seqs] : kinds_)
    if (!seqs.empty()) out.emplace_back(kind, seqs.size());
  return out;
}

} // namespace troupe

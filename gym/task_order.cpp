#include "gym/task_order.hpp"

#include "runtime/base/random.hpp"
#include <bit>

namespace troupe {

namespace {

/// A Feistel network permutes [0, 4^half_bits) for any round function; ours is Philox.
std::uint64_t feistel(std::uint64_t x, int half_bits, std::uint64_t seed) {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  std::uint64_t left = x >> half_bits, right = x & mask;
  for (std::uint64_t round = 0; round < 6; ++round) {
    const auto block = philox(seed, round, right);
    const auto mixed = left ^ (((std::uint64_t{block[1]} << 32) | block[0]) & mask);
    left = right;
    right = mixed;
  }
  return (left << half_bits) | right;
}

} // namespace

std::size_t task_order::operator[](std::uint64_t i) const {
  const auto seed = derive_seed(derive_seed(seed_, "task_order"), epoch(i));
  const int half_bits = (std::bit_width(n_ - 1) + 1) / 2;
  auto x = i % n_;
  do x = feistel(x, half_bits, seed); // walks its cycle back into [0, n): at most 4 steps on average
  while (x >= n_);
  return x;
}

} // namespace troupe

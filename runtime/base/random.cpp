#include "runtime/base/random.hpp"

#include <cmath>
#include <numbers>

namespace troupe {

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_high,
                                    std::uint64_t counter_low) {
  constexpr std::uint32_t multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t weyl0 = 0x9E3779B9, weyl1 = 0xBB67AE85;
  std::uint32_t c0 = static_cast<std::uint32_t>(counter_low),
                c1 = static_cast<std::uint32_t>(counter_low >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(counter_high),
                c3 = static_cast<std::uint32_t>(counter_high >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{multiplier0} * c0, p1 = std::uint64_t{multiplier1} * c2;
    const auto h0 = static_cast<std::uint32_t>(p0 >> 32), l0 = static_cast<std::uint32_t>(p0);
    const auto h1 = static_cast<std::uint32_t>(p1 >> 32), l1 = static_cast<std::uint32_t>(p1);
    c0 = h1 ^ c1 ^ k0, c1 = l1, c2 = h0 ^ c3 ^ k1, c3 = l0;
    k0 += weyl0, k1 += weyl1;
  }
  return {c0, c1, c2, c3};
}

namespace {
std::uint64_t word_at(std::uint64_t key, std::uint64_t high, std::uint64_t low) {
  const auto block = philox(key, high, low);
  return (std::uint64_t{block[1]} << 32) | block[0];
}
double to_unit(std::uint64_t word) { return (static_cast<double>(word >> 12) + 0.5) * 0x1.0p-52; }
} // namespace

double uniform_at(std::uint64_t seed, std::uint64_t stream, std::uint64_t position) {
  return to_unit(word_at(seed, stream, position));
}

std::uint64_t derive_seed(std::uint64_t seed, std::string_view purpose) {
  std::uint64_t hash = 14695981039346656037ull; // FNV-1a of the name, then one Philox block
  for (unsigned char c : purpose) hash = (hash ^ c) * 1099511628211ull;
  return word_at(seed, hash, 0x7472'6f75'7065ull);
}

std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t purpose) {
  return word_at(seed, purpose, 0x6e75'6d62'6572ull);
}

std::uint64_t random_stream::operator()() { return word_at(seed_, 0, position_++); }

double random_stream::uniform() { return to_unit((*this)()); }

std::uint64_t random_stream::below(std::uint64_t n) {
  __extension__ using wide = unsigned __int128;
  wide product = static_cast<wide>((*this)()) * n;
  auto low = static_cast<std::uint64_t>(product);
  if (low < n) {
    const std::uint64_t threshold = -n % n;
    while (low < threshold) {
      product = static_cast<wide>((*this)()) * n;
      low = static_cast<std::uint64_t>(product);
    }
  }
  return static_cast<std::uint64_t>(product >> 64);
}

double random_stream::normal() {
  const double radius = std::sqrt(-2.0 * std::log(uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

} // namespace troupe

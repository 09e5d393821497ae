#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace troupe {

/// Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
/// a pure function of key and counter, so that what is drawn again is the same, whoever draws it and in whatever order.
std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_high, std::uint64_t counter_low);

/// A uniform number in (0, 1) at one place of one stream, for example (run seed, rollout, token position). Never 0 or 1.
double uniform_at(std::uint64_t seed, std::uint64_t stream, std::uint64_t position);

/// Mixes a name or number into a seed: independent streams for independent purposes.
std::uint64_t derive_seed(std::uint64_t seed, std::string_view purpose);
std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t purpose);

/// A sequential generator over one stream. Satisfies UniformRandomBitGenerator. Its whole state is two numbers,
/// so it can be stored and restored. Not for cryptography.
class random_stream {
public:
  using result_type = std::uint64_t;
  explicit random_stream(std::uint64_t seed, std::uint64_t position = 0) : seed_(seed), position_(position) {}

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type{0}; }
  result_type operator()();

  /// Uniform in (0, 1).
  double uniform();
  /// Uniform in [0, n); n > 0. Unbiased (Lemire 2019).
  std::uint64_t below(std::uint64_t n);
  /// Standard normal (Box-Muller).
  double normal();
  bool chance(double probability) { return uniform() < probability; }

  std::uint64_t seed() const { return seed_; }
  std::uint64_t position() const { return position_; }

private:
  std::uint64_t seed_, position_;
};

/// Fisher-Yates with our generator: std::shuffle's order is not the same in every standard library.
template <class Container>
void shuffle(Container& items, random_stream& random) {
  using std::swap;
  for (std::size_t i = items.size(); i > 1; --i) swap(items[i - 1], items[random.below(i)]);
}

} // namespace troupe

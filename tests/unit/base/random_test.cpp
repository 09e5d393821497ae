#include "runtime/base/random.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
#include <set>
#include <vector>

using namespace troupe;
using block = std::array<std::uint32_t, 4>;

// The known answers of Random123 1.14 (kat_vectors, philox4x32 10).
TEST(Philox, GivesTheKnownAnswersOfItsAuthors) {
  EXPECT_EQ(philox(0, 0, 0), (block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~0ull, ~0ull, ~0ull), (block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 (lowest word first)
  EXPECT_EQ(philox(0x299f31d0a4093822ull, 0x0370734413198a2eull, 0x85a308d3243f6a88ull),
            (block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(AUniformNumber, IsAFunctionOfItsPlaceAndNeverZeroOrOne) {
  EXPECT_EQ(uniform_at(1, 2, 3), uniform_at(1, 2, 3));
  std::set<double> seen;
  for (std::uint64_t i = 0; i < 1000; ++i)
    for (double u : {uniform_at(i, 2, 3), uniform_at(1, i + 1000, 3), uniform_at(1, 2, i + 1000)}) {
      EXPECT_GT(u, 0.0);
      EXPECT_LT(u, 1.0);
      seen.insert(u);
    }
  EXPECT_EQ(seen.size(), 3000u);
}

TEST(ARandomStream, ContinuesFromItsStoredPosition) {
  random_stream whole(42);
  for (int i = 0; i < 10; ++i) whole.normal();
  random_stream resumed(whole.seed(), whole.position());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(whole(), resumed());
}

TEST(ARandomStream, DrawsBelowABoundWithoutBias) {
  random_stream random(1);
  std::vector<int> counts(7);
  for (int i = 0; i < 70'000; ++i) ++counts[random.below(7)];
  double chi2 = 0;
  for (int n : counts) chi2 += (n - 10'000.0) * (n - 10'000.0) / 10'000.0;
  EXPECT_LT(chi2, 22.5); // 6 degrees of freedom, p = 0.001
  const std::uint64_t huge = (1ull << 63) + 1;
  for (int i = 0; i < 100; ++i) EXPECT_LT(random.below(huge), huge);
  EXPECT_EQ(random.below(1), 0u);
}

TEST(ARandomStream, DrawsNormalNumbers) {
  random_stream random(3);
  double sum = 0, squares = 0;
  constexpr int n = 100'000;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    sum += x, squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0.0, 0.015);
  EXPECT_NEAR(squares / n, 1.0, 0.02);
}

TEST(DerivedSeeds, DifferByPurposeAndBySeed) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    for (auto purpose : {"", "sampling", "tasks", "samplinG"}) seen.insert(derive_seed(seed, purpose));
    for (std::uint64_t number = 0; number < 4; ++number) seen.insert(derive_seed(seed, number));
  }
  EXPECT_EQ(seen.size(), 800u);
  EXPECT_EQ(derive_seed(1, "sampling"), derive_seed(1, "sampling"));
}

TEST(AShuffle, IsAPermutationThatTheSeedDecides) {
  std::vector<int> a(100);
  std::iota(a.begin(), a.end(), 0);
  auto b = a, sorted = a;
  random_stream one(5), same(5);
  shuffle(a, one);
  shuffle(b, same);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, sorted);
  std::sort(a.begin(), a.end());
  EXPECT_EQ(a, sorted);
}

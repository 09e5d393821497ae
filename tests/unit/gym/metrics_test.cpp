#include "gym/metrics.hpp"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(PassAtK, HasTheValuesOfThePaper) { // Chen et al. 2021, arXiv 2107.03374
  EXPECT_NEAR(*pass_at_k(10, 3, 5), 11.0 / 12, 1e-12);
  EXPECT_NEAR(*pass_at_k(4, 2, 2), 5.0 / 6, 1e-12);
  EXPECT_NEAR(*pass_at_k(100, 1, 10), 0.1, 1e-12);
  EXPECT_EQ(*pass_at_k(7, 0, 3), 0);
  EXPECT_EQ(*pass_at_k(5, 3, 3), 1);
  EXPECT_NEAR(*pass_at_k(100000, 1, 1), 1e-5, 1e-15);
}

TEST(PassAtK, EqualsTheShareOfSubsetsThatHoldACorrectSample) {
  for (int n = 1; n <= 9; ++n)
    for (int c = 0; c <= n; ++c)
      for (int k = 1; k <= n; ++k) {
        int subsets = 0, passing = 0;
        for (unsigned s = 0; s < 1u << n; ++s) {
          if (std::popcount(s) != k) continue;
          ++subsets;
          passing += (s & ((1u << c) - 1)) != 0;
        }
        EXPECT_NEAR(*pass_at_k(n, c, k), static_cast<double>(passing) / subsets, 1e-12)
            << n << ' ' << c << ' ' << k;
      }
}

TEST(PassAtK, RefusesWhatHasNoMeaning) {
  for (auto [n, c, k] : {std::array{3, 1, 4}, {3, 4, 1}, {3, -1, 1}, {3, 1, 0}, {-1, 0, 1}, {0, 0, 1}})
    EXPECT_FALSE(pass_at_k(n, c, k)) << n << ' ' << c << ' ' << k;
}

TEST(TheIntervalOfShares, IsWilsons) { // 8 of 10 and 0 of 10 by the closed formula, worked out by hand
  const auto eight = estimate_mean({1, 1, 1, 1, 1, 1, 1, 1, 0, 0});
  EXPECT_DOUBLE_EQ(eight.mean, .8);
  EXPECT_EQ(eight.n, 10);
  EXPECT_NEAR(eight.ci95[0], 0.490162, 1e-6);
  EXPECT_NEAR(eight.ci95[1], 0.943318, 1e-6);
  const auto none = estimate_mean(std::vector<double>(10, 0.0));
  EXPECT_EQ(none.ci95[0], 0);
  EXPECT_NEAR(none.ci95[1], 0.277533, 1e-6);
  const auto all = estimate_mean(std::vector<double>(10, 1.0));
  EXPECT_NEAR(all.ci95[0], 1 - 0.277533, 1e-6);
  EXPECT_EQ(all.ci95[1], 1);
}

TEST(TheIntervalOfOtherMeans, IsStudents) { // mean 3, s = sqrt(2.5), t(4) = 2.776445
  const auto it = estimate_mean({1, 2, 3, 4, 5});
  EXPECT_DOUBLE_EQ(it.mean, 3);
  EXPECT_NEAR(it.ci95[0], 3 - 2.776445 * std::sqrt(2.5 / 5), 1e-6);
  EXPECT_NEAR(it.ci95[1], 3 + 2.776445 * std::sqrt(2.5 / 5), 1e-6);
}

/// The mass of Student's distribution between 0 and t, by Simpson's rule.
double student_mass(double t, int freedom) {
  const double v = freedom;
  const double scale =
      std::exp(std::lgamma((v + 1) / 2) - std::lgamma(v / 2)) / std::sqrt(v * std::acos(-1.0));
  const auto density = [&](double x) { return scale * std::pow(1 + x * x / v, -(v + 1) / 2); };
  const int steps = 20000;
  const double h = t / steps;
  double sum = density(0) + density(t);
  for (int i = 1; i < steps; ++i) sum += density(i * h) * (i % 2 ? 4 : 2);
  return sum * h / 3;
}

TEST(StudentsQuantile, LeavesTwoAndAHalfPercentOnEachSideForEveryNumberOfQuestions) {
  std::vector<int> counts{51, 101, 301, 1001};
  for (int n = 2; n <= 40; ++n) counts.push_back(n);
  for (int n : counts) {
    std::vector<double> values(static_cast<std::size_t>(n), 0.5);
    values[0] = 0.25; // one value apart: s = 0.25 / sqrt(n)
    const auto it = estimate_mean(values);
    const double t = (it.ci95[1] - it.mean) / (0.25 / n);
    EXPECT_NEAR(student_mass(t, n - 1), 0.475, 2e-7) << n;
  }
}

TEST(AnEstimate, OfNothingIsZeroAndOfOneValueIsThatValue) {
  const auto none = estimate_mean({});
  EXPECT_EQ(none.n, 0);
  EXPECT_EQ(none.mean, 0);
  EXPECT_EQ(none.ci95, (std::array<double, 2>{0, 0}));
  const auto one = estimate_mean({2.5});
  EXPECT_EQ(one.n, 1);
  EXPECT_EQ(one.ci95, (std::array<double, 2>{2.5, 2.5}));
}

} // namespace
} // namespace troupe

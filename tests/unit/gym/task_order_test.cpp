#include "gym/task_order.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

namespace troupe {
namespace {

TEST(TheOrderOfTasks, TakesEveryTaskOncePerEpochInAFreshOrder) {
  const task_order order(50, 7);
  std::vector<std::vector<std::size_t>> epochs;
  for (std::uint64_t e = 0; e < 3; ++e) {
    auto& one = epochs.emplace_back();
    for (std::uint64_t i = 0; i < 50; ++i) one.push_back(order[e * 50 + i]);
    EXPECT_EQ(std::set<std::size_t>(one.begin(), one.end()).size(), 50u);
    EXPECT_EQ(*std::max_element(one.begin(), one.end()), 49u);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
}

TEST(TheOrderOfTasks, IsTheSameForWhoeverAsksAndInWhateverOrder) {
  const task_order forwards(13, 3), backwards(13, 3), other(13, 4);
  std::vector<std::size_t> one(100), two(100), three(100);
  for (std::size_t i = 0; i < 100; ++i) one[i] = forwards[i], three[i] = other[i];
  for (std::size_t i = 100; i-- > 0;) two[i] = backwards[i];
  EXPECT_EQ(one, two);
  EXPECT_NE(one, three);
}

TEST(TheOrderOfTasks, IsAPermutationForEveryNumberOfTasks) {
  for (std::size_t n = 1; n < 200; ++n) {
    std::set<std::size_t> seen;
    for (std::uint64_t i = 0; i < n; ++i) seen.insert(task_order(n, 5)[3 * n + i]);
    EXPECT_EQ(seen.size(), n);
    EXPECT_EQ(*seen.rbegin(), n - 1);
  }
}

/// Chi-squared over 20 places of task 0 in 4,000 epochs: 43.8 is the 99.9 % quantile with 19 degrees of
/// freedom.
TEST(TheOrderOfTasks, PutsATaskEverywhereEquallyOften) {
  const task_order order(20, 1);
  std::vector<int> places(20);
  for (std::uint64_t i = 0; i < 80000; ++i)
    if (order[i] == 0) ++places[i % 20];
  double chi = 0;
  for (int n : places) chi += (n - 200.0) * (n - 200.0) / 200;
  EXPECT_LT(chi, 43.8);
}

TEST(TheOrderOfOneTask, IsThatTask) {
  const task_order order(1, 0);
  EXPECT_EQ(order[0], 0u);
  EXPECT_EQ(order[~std::uint64_t{0}], 0u);
}

} // namespace
} // namespace troupe

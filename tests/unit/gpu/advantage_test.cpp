#include "gpu/advantage.hpp"

#include <gtest/gtest.h>
#include <string>

namespace troupe {

TEST(LeaveOneOut, GivesEachMemberTheMeanOfTheOthers) { // A1
  const auto b = leave_one_out_baselines({1, 0, 0, 0.5});
  ASSERT_TRUE(b);
  const std::vector<double> expected{0.5 / 3, 0.5, 0.5, 1.0 / 3};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR((*b)[i], expected[i], 1e-15);
}

TEST(LeaveOneOut, IsTheMeanBaselineStretchedByKOverKMinusOne) { // A1
  const std::vector<double> rewards{1, -0.2, 0.9025, 0, 0.95};
  const auto loo = *leave_one_out_baselines(rewards);
  const auto mean = mean_baselines(rewards);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(rewards[i] - loo[i], 1.25 * (rewards[i] - mean[i]), 1e-14);
}

TEST(LeaveOneOut, NeedsTwoMembers) { // section 8.5
  EXPECT_FALSE(leave_one_out_baselines({}));
  EXPECT_FALSE(leave_one_out_baselines({1}));
  EXPECT_EQ(leave_one_out_baselines({1, 1}), (std::vector<double>{1, 1}));
}

TEST(TheMeanBaseline, IsDefinedForAnyGroup) {
  EXPECT_TRUE(mean_baselines({}).empty());
  EXPECT_EQ(mean_baselines({0.25}), (std::vector<double>{0.25}));
  EXPECT_EQ(mean_baselines({1, 0}), (std::vector<double>{0.5, 0.5}));
}

TEST(NegativeControl, KeepsEverythingAtOneAndNoNegativeAtZero) { // A14, section 8.4
  for (int i = 0; i < 1000; ++i) {
    const auto id = "rollout-" + std::to_string(i);
    EXPECT_TRUE(keep_negative(-1, 1.0, 7, id));
    EXPECT_FALSE(keep_negative(-1, 0.0, 7, id));
    EXPECT_TRUE(keep_negative(0, 0.0, 7, id));
    EXPECT_TRUE(keep_negative(0.3, 0.0, 7, id));
  }
}

TEST(NegativeControl, DecidesTheSameWayForTheSameTrajectory) {
  int kept = 0, differs = 0;
  for (int i = 0; i < 10000; ++i) {
    const auto id = std::to_string(i);
    const bool keep = keep_negative(-0.5, 0.3, 42, id);
    EXPECT_EQ(keep, keep_negative(-2.0, 0.3, 42, id));
    kept += keep;
    differs += keep != keep_negative(-0.5, 0.3, 43, id);
  }
  EXPECT_NEAR(kept, 3000, 230); // five standard errors
  EXPECT_NEAR(differs, 4200, 250);
}

TEST(TheOverlongPenalty, FallsFromNothingToOneAcrossItsCushion) { // DAPO: L_max 20480, L_c 4096
  EXPECT_EQ(overlong_penalty(100, 20480, 4096), 0);
  EXPECT_EQ(overlong_penalty(16384, 20480, 4096), 0);
  EXPECT_EQ(overlong_penalty(18432, 20480, 4096), -0.5);
  EXPECT_EQ(overlong_penalty(20480, 20480, 4096), -1);
  EXPECT_EQ(overlong_penalty(30000, 20480, 4096), -1);
  EXPECT_EQ(overlong_penalty(30000, 20480, 0), 0);
}

TEST(TheDeviationOfAGroup, IsThePopulations) {
  EXPECT_DOUBLE_EQ(deviation({1, 0, 0, 1}), 0.5);
  EXPECT_DOUBLE_EQ(deviation({2, 2, 2}), 0);
  EXPECT_DOUBLE_EQ(deviation({}), 0);
}

} // namespace troupe

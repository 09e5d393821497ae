#include "runtime/base/clock.hpp"

#include <gtest/gtest.h>

using namespace troupe;

TEST(TheMachinesClock, NeverGoesBack) {
  auto last = system_clock().now();
  for (int i = 0; i < 10'000; ++i) {
    const auto now = system_clock().now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(TheMachinesClock, KnowsTheCentury) {
  const auto wall = std::chrono::duration_cast<std::chrono::hours>(system_clock().wall()).count();
  EXPECT_GT(wall, 24 * 365 * 50) << "after 2020";
  EXPECT_LT(wall, 24 * 366 * 130) << "before 2100";
}

TEST(ADuration, IsSecondsAsANumber) {
  EXPECT_DOUBLE_EQ(seconds(std::chrono::milliseconds(1500)), 1.5);
  EXPECT_DOUBLE_EQ(seconds(duration(1)), 1e-9);
}

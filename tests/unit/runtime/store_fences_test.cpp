#include "runtime/store_fences.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(StoreFences, RefuseAnEpochFromItsFenceOn) { // STORE-4
  store_fences fences;
  EXPECT_TRUE(fences.admit({7, 0}, "a"));
  fences.learn("fence", "cluster", "fence/7");
  const auto refused = fences.admit({7, 0}, "a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::in_use);
  EXPECT_NE(refused.error().message.find("epoch 7"), std::string::npos);
  EXPECT_TRUE(fences.admit({8, 0}, "a"));
}

TEST(StoreFences, TakeInTheNewestPlacementOnly) {
  store_fences fences;
  fences.learn("placement", "rollout/t1.2", "placement/t1.2/1");
  EXPECT_TRUE(fences.admit({7, 1}, "rollout/t1.2"));
  fences.learn("placement", "rollout/t1.2", "placement/t1.2/2");
  EXPECT_FALSE(fences.admit({7, 1}, "rollout/t1.2"));
  EXPECT_TRUE(fences.admit({7, 2}, "rollout/t1.2"));
  EXPECT_FALSE(fences.admit({7, 3}, "rollout/t1.2")) << "a placement that is not in the store";
  fences.learn("placement", "rollout/t1.2", "placement/t1.2/1"); // read again, in whatever order
  EXPECT_TRUE(fences.admit({7, 2}, "rollout/t1.2"));
  EXPECT_FALSE(fences.admit({7, 2}, "rollout/t9.0")) << "of another stream";
}

} // namespace
} // namespace troupe

#include "runtime/circuit_breaker.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

TEST(ACircuitBreaker, OpensAfterSoManyFailuresInARow) {
  circuit_breaker it(3, 1s);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(it.may_try(0s));
    EXPECT_FALSE(it.failed(0s));
  }
  ASSERT_TRUE(it.may_try(0s));
  EXPECT_FALSE(it.succeeded()) << "it was never open";
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(it.may_try(10s)) << "the success began a new row";
    EXPECT_EQ(it.failed(10s), i == 2);
  }
  EXPECT_TRUE(it.open());
  EXPECT_FALSE(it.may_try(10s));
}

TEST(ACircuitBreaker, LetsOneProbeThroughNowAndThen) { // BREAK-1
  circuit_breaker it(1, 1s);
  ASSERT_TRUE(it.may_try(0s));
  ASSERT_TRUE(it.failed(0s));
  EXPECT_FALSE(it.may_try(999ms));
  ASSERT_TRUE(it.may_try(1s));
  EXPECT_FALSE(it.may_try(5s)) << "one at a time";
  EXPECT_FALSE(it.failed(5s)) << "it was open already";
  EXPECT_FALSE(it.may_try(5500ms));
  ASSERT_TRUE(it.may_try(6s));
  EXPECT_TRUE(it.succeeded());
  EXPECT_TRUE(it.may_try(6s));
  EXPECT_TRUE(it.may_try(6s));
}

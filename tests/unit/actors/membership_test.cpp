#include "actors/cluster/membership.hpp"

#include "runtime/simulation.hpp"
#include <gtest/gtest.h>

namespace troupe {
namespace {

using namespace std::chrono_literals;

struct nobody {
  static constexpr const char* name = "nobody";
  explicit nobody(self_ptr) {}
  behavior make_behavior() {
    return {[](done) {}};
  }
};

class AMembership : public testing::Test {
protected:
  join_cluster from(const actor_ref& agent, std::uint64_t attempt = 1) { return {"w2", agent, attempt}; }
  simulation sim{1};
  actor_ref agent = sim.spawn<nobody>(), other = sim.spawn<nobody>();
  membership members{1s};
};

TEST_F(AMembership, EndsALeaseThatNoHeartbeatRenews) {
  members.add(from(agent), 1, 10s);
  EXPECT_TRUE(members.heard({1, agent, {}}, 10800ms));
  EXPECT_TRUE(members.expired(11700ms).empty());
  EXPECT_EQ(members.expired(11800ms), std::vector<std::uint64_t>{1});
  members.remove(1);
  EXPECT_FALSE(members.heard({1, agent, {}}, 12s)) << "an epoch that is over came back"; // MEMB-2
}

TEST_F(AMembership, CondemnsNobodyForTheHeadsOwnSleep) { // CLU-4
  members.add(from(agent), 1, 10s);
  members.extend(5s);
  EXPECT_TRUE(members.expired(15500ms).empty());
  EXPECT_FALSE(members.expired(16s).empty());
}

TEST_F(AMembership, TellsARepeatedJoinFromANewOneAndFromALateOne) {
  const auto first = from(agent, 1), second = from(agent, 2);
  members.add(first, 1, 10s);
  ASSERT_TRUE(members.joined_again(first, 10s));
  EXPECT_EQ(members.joined_again(first, 10s)->epoch, 1u);
  EXPECT_FALSE(members.joined_again(second, 10s));
  EXPECT_FALSE(members.overtaken(second));
  members.remove(1);
  members.add(second, 2, 11s);
  EXPECT_TRUE(members.overtaken(first)) << "an older attempt of the same actor";
  members.remove(2);
  members.add(from(other, 1), 3, 12s);
  EXPECT_TRUE(members.overtaken(second)) << "an actor that another has followed";
  EXPECT_EQ(members.epochs_of("w2"), std::vector<std::uint64_t>{3});
}

TEST_F(AMembership,
       HearsARepeatedJoin) { // LEASE-1: the node counts its lease from the question that was answered
  members.add(from(agent), 1, 10s);
  ASSERT_TRUE(members.joined_again(from(agent), 10500ms));
  EXPECT_TRUE(members.expired(11400ms).empty());
  EXPECT_FALSE(members.expired(11500ms).empty());
}

TEST_F(AMembership, GivesEpochsOfEarlierLivesAFreshLease) {
  members.adopt("w2", 4, 100s);
  EXPECT_TRUE(members.expired(100900ms).empty());
  EXPECT_FALSE(members.find(4)->agent);
  EXPECT_TRUE(members.heard({4, agent, {}}, 100900ms));
  EXPECT_EQ(members.find(4)->agent, agent);
  EXPECT_TRUE(members.expired(101800ms).empty());
}

} // namespace
} // namespace troupe

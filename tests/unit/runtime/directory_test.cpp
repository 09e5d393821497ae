#include "supervisor_fixture.hpp"

namespace {
using namespace troupe;
using namespace troupe::probe_world;

TEST(ADirectory, FindsTheCurrentHolderOfAName) {
  life_log out;
  simulation sim{1};
  directory names;
  EXPECT_FALSE(names.find("a"));
  auto first = sim.spawn<probe>("1", &out, false), second = sim.spawn<probe>("2", &out, false);
  names.set("a", first);
  EXPECT_EQ(names.find("a"), first);
  names.set("a", second);
  EXPECT_EQ(names.find("a"), second);
  names.erase("a", first); // a late obituary of the former life
  EXPECT_EQ(names.find("a"), second);
  names.erase("a", second);
  EXPECT_FALSE(names.find("a"));
}

TEST(ADirectory, MayHoldTheLastHandleOfAnActor) {
  life_log out;
  simulation sim{1};
  auto names = std::make_shared<directory>();
  names->set("a", spawn_state<probe>(sim.system(), "a", &out, false));
  sim.run();
  EXPECT_EQ(out.lives["a"], 1);
  names->clear();
  sim.run();
  EXPECT_EQ(out.lives["a"], 0) << "an actor that nobody can reach ends";
}

} // namespace

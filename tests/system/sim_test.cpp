#include "tests/system/process.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;

namespace {

const std::string worlds = std::string(TROUPE_SOURCE_DIR) + "/configs/worlds";

std::string trace_of(const scratch& place, const std::string& world, int seed) {
  auto run = process::troupe({"sim", world, "--seeds", std::to_string(seed), "--worlds", worlds, "--json"},
                             place.path());
  EXPECT_EQ(run.wait(60s), 0) << run.err() << run.out();
  const auto lines = tests::json_lines(run.out());
  return lines.size() == 1 ? json::dump(lines[0].at("trace")) : std::string("no figures");
}

} // namespace

/// TROUPE_TRACE_PAIRS=100 for the long run.
TEST(ASimulatedSeed, HasTheSameTraceInAnotherProcess) { // SIM-1
  scratch place;
  const char* wish = std::getenv("TROUPE_TRACE_PAIRS");
  const int pairs = wish ? std::atoi(wish) : 20;
  for (int seed = 0; seed < pairs; ++seed) {
    const std::string world = seed % 2 ? "kills" : "rollbacks";
    EXPECT_EQ(trace_of(place, world, seed), trace_of(place, world, seed)) << world << ", seed " << seed;
  }
}

TEST(TheSimulator, NamesItsWorldsAndPrintsTheTraceOfASeed) {
  scratch place;
  auto list = process::troupe({"sim", "--list", "--json", "--worlds", worlds}, place.path());
  ASSERT_EQ(list.wait(20s), 0) << list.err();
  const auto lines = tests::json_lines(list.out());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_GE(lines[0].at("worlds").get_array().size(), 5u);
  auto trace =
      process::troupe({"sim", "kills", "--seeds", "3..3", "--trace", "--worlds", worlds}, place.path());
  ASSERT_EQ(trace.wait(20s), 0) << trace.err();
  EXPECT_NE(trace.out().find("learner#"), std::string::npos);
  EXPECT_NE(trace.out().find("troupe::train_step"), std::string::npos);
}

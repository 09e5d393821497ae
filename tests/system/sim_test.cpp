#include "tests/system/process.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;

namespace {

const std::string worlds = std::string(TROUPE_SOURCE_DIR) + "/configs/worlds";

/// Of all these seeds, in order.
std::string trace_of(const scratch& place, const std::string& world, int seeds) {
  auto run = process::troupe(
      {"sim", world, "--seeds", "0.." + std::to_string(seeds - 1), "--worlds", worlds, "--json"},
      place.path());
  EXPECT_EQ(run.wait(300s), 0) << run.err() << run.out();
  const auto lines = tests::json_lines(run.out());
  if (lines.size() != 1) return "no figures";
  EXPECT_EQ(lines[0].at("seeds").to_number<int>(), seeds);
  return json::dump(lines[0].at("trace"));
}

} // namespace

/// 100 pairs of seeds; TROUPE_TRACE_PAIRS=1000 for the long run.
TEST(ASimulatedSeed, HasTheSameTraceInAnotherProcess) { // SIM-1
  scratch place;
  const char* wish = std::getenv("TROUPE_TRACE_PAIRS");
  const int pairs = wish ? std::atoi(wish) : 100;
  for (const char* world : {"kills", "rollbacks", "partitions", "zombies"}) {
    const auto once = trace_of(place, world, pairs / 4);
    EXPECT_EQ(trace_of(place, world, pairs / 4), once) << world;
    EXPECT_NE(trace_of(place, world, pairs / 4 - 1), once) << world;
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

#include "tests/system/process.hpp"

#include "runtime/base/file.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;
using tests::small_run;

TEST(AWallClock, MayJumpAsItLikesNothingDependsOnIt) {
  scratch place;
  auto weights = [&](const std::string& run) {
    return read_file(place.path() / "runs" / run / "checkpoints/step-6/model.safetensors")
        .value_or("none of " + run);
  };
  auto words = [](const std::string& name) {
    return small_run({"run.name=" + name, "rl.mode=async", "rl.eta=0", "eval.before=false", "eval.every=0",
                      "tools.simulated_latency=0.05"});
  };
  auto calm = process::troupe(words("calm"), place.path());
  ASSERT_EQ(calm.wait(180s), 0) << calm.err();
  const auto proof = (place.path() / "proof").string();
  auto strobe = process::troupe(words("strobe"), place.path(),
                                {std::string("LD_PRELOAD=") + TROUPE_STROBE, "STROBE_PROOF=" + proof});
  ASSERT_EQ(strobe.wait(180s), 0) << strobe.err() << strobe.out().substr(0, 2000);
  EXPECT_GT(std::atol(read_file(proof).value_or("0").c_str()), 100)
      << "nobody saw a wrong time: the test tests nothing";
  EXPECT_GT(weights("calm").size(), 10000u);
  EXPECT_TRUE(weights("calm") == weights("strobe"));
  for (const auto& r : tests::json_lines(strobe.out()))
    if (r.at("kind") == "step") {
      EXPECT_EQ(r.at("restarts").to_number<double>(), 0) << "somebody was taken for dead";
    }
  auto audit = process::troupe({"audit", "runs/strobe", "--json"}, place.path());
  EXPECT_EQ(audit.wait(60s), 0) << audit.out() << audit.err();
}

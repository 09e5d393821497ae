#include "tests/system/process.hpp"

#include "runtime/base/http.hpp"

#include <csignal>
#include <gtest/gtest.h>
#include <thread>

using namespace std::chrono_literals;
using namespace troupe;
using tests::number;
using tests::printed_object;
using tests::process;
using tests::scratch;
using tests::small_run;

namespace {

/// Nothing lost, nothing counted twice, whatever struck.
void expect_nothing_lost(const scratch& place, const std::string& run, double least_strikes) {
  const auto report = printed_object({"faults", "report", run, "--json"}, place.path());
  EXPECT_EQ(report.at("balanced"), json::value(true)) << json::dump(report);
  EXPECT_EQ(number(report, "lost"), 0);
  EXPECT_EQ(number(report, "duplicated"), 0);
  EXPECT_GE(number(report, "strikes"), least_strikes) << json::dump(report);
}

void expect_refused(const scratch& place, std::vector<std::string> words,
                    const std::vector<std::string>& said) {
  auto run = process::troupe(std::move(words), place.path());
  EXPECT_EQ(run.wait(60s), 2) << run.err() << run.out();
  for (const auto& word : said)
    EXPECT_NE(run.err().find(word), std::string::npos) << "\"" << word << "\" is not in: " << run.err();
}

std::string profile(const std::string& name) {
  return std::string(TROUPE_SOURCE_DIR) + "/configs/faults/" + name + ".yaml";
}

} // namespace

TEST(FaultsOfARunInProgress, AreAddedListedAndRemoved) {
  scratch place;
  auto run = process::troupe(small_run({"rl.steps=20000", "faults.enabled=true", "eval.before=false"}),
                             place.path());
  ASSERT_TRUE(run.says("\"kind\":\"step\"", 120s)) << run.err();
  auto add = process::troupe(
      {"fault", "add", "runs/small", "kill any every=200ms", "fail tool at=call share=0.1"}, place.path());
  ASSERT_EQ(add.wait(30s), 0) << add.err();
  EXPECT_NE(add.out().find("0  kill any every=200ms"), std::string::npos) << add.out();
  std::this_thread::sleep_for(2s);
  const auto listed = printed_object({"fault", "list", "runs/small", "--json"}, place.path());
  const auto& rules = listed.at("faults").get_array();
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_GE(number(rules[0].get_object(), "strikes"), 3) << json::dump(listed);
  auto remove = process::troupe({"fault", "remove", "runs/small", "0"}, place.path());
  EXPECT_EQ(remove.wait(30s), 0) << remove.err();
  EXPECT_EQ(
      printed_object({"fault", "list", "runs/small", "--json"}, place.path()).at("faults").get_array().size(),
      1u);

  expect_refused(place, {"fault", "remove", "runs/small", "0"}, {"404", "\"0\""});
  expect_refused(place, {"fault", "add", "runs/small", "kill stoer every=1s"},
                 {"400", "stoer", "expected any or a kind"});
  expect_refused(place, {"fault", "add", "runs/small", "kill rollout at=verdct"}, {"verdct", "turn_sampled"});
  expect_refused(place, {"fault", "add", "runs/small", "kill any every=1s", "nonsense"},
                 {"nonsense", "kill, throw"});
  EXPECT_EQ(
      printed_object({"fault", "list", "runs/small", "--json"}, place.path()).at("faults").get_array().size(),
      1u)
      << "all of a request or none";
  run.signal(SIGINT);
  EXPECT_EQ(run.wait(10s), 3);
  expect_nothing_lost(place, "runs/small", 3);
  expect_refused(place, {"fault", "list", "runs/small"}, {"runs/small", "not in progress"});
}

TEST(FaultsOfARunThatDoesNotAllowThem, AreRefused) {
  scratch place;
  auto run = process::troupe(small_run({"rl.steps=20000", "eval.before=false"}), place.path());
  ASSERT_TRUE(run.says("\"url\":", 60s)) << run.err();
  expect_refused(place, {"fault", "add", "runs/small", "kill any every=1s"}, {"403", "faults.enabled=true"});
  std::string url;
  for (const auto& r : tests::json_lines(run.out()))
    if (r.contains("url")) url = std::string(r.at("url").get_string()) + "/v1/experiments/small/faults";
  for (const auto& [verb, address] : {std::pair{"GET", url}, {"DELETE", url + "/0"}}) {
    auto got = http::fetch(verb, address);
    ASSERT_TRUE(got) << verb;
    EXPECT_EQ(got->status, 403);
    EXPECT_EQ(got->content_type, "application/problem+json");
  }
  run.signal(SIGINT);
  EXPECT_EQ(run.wait(10s), 3);
  expect_refused(place, small_run({"run.name=other", "faults.plan=[\"kill any every=1s\"]"}),
                 {"faults.plan", "faults.enabled=true"});
  expect_refused(
      place, small_run({"run.name=other", "faults.enabled=true", "faults.plan=[\"kill nobody every=1s\"]"}),
      {"faults.plan", "nobody", "expected any or a kind"});
  expect_refused(
      place,
      small_run({"run.name=other", "faults.enabled=true", "faults.plan=[\"throw learner at=nowhere\"]"}),
      {"faults.plan", "nowhere", "before_step"});
  expect_refused(place, {"fault", "list", "runs/none"}, {"runs/none"});
}

class AProfileOfFaults : public testing::TestWithParam<std::string> {};

TEST_P(AProfileOfFaults, LosesNothingAndCountsNothingTwice) {
  scratch place;
  auto words = small_run({"rl.steps=4", "eval.before=false", "eval.every=0"});
  words[1] = profile(GetParam());
  auto run = process::troupe(words, place.path());
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  expect_nothing_lost(place, "runs/small", GetParam() == "messages" ? 50 : 0);
  auto audit = process::troupe({"audit", "runs/small", "--json"}, place.path());
  EXPECT_EQ(audit.wait(60s), 0) << audit.out() << audit.err();
}
INSTANTIATE_TEST_SUITE_P(Profiles, AProfileOfFaults,
                         testing::Values("light", "messages", "disk", "judges", "soak"),
                         [](const auto& it) { return it.param; });

TEST(DamagedWeights, AreFoundBeforeTheyAreUsedAndThoseOnDiskArePassedOver) { // ENGA-7
  scratch place;
  auto run = process::troupe(
      small_run({"rl.steps=8", "eval.before=false", "eval.every=0", "checkpoint.keep=8",
                 "faults.enabled=true",
                 "faults.plan=[\"flip engine at=weights each=2\", \"flip learner at=checkpoint nth=4\", "
                 "\"throw learner at=after_checkpoint nth=4\"]"}),
      place.path());
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  const auto report = printed_object({"faults", "report", "runs/small", "--json"}, place.path());
  EXPECT_EQ(report.at("balanced"), json::value(true)) << json::dump(report);
  double engine = 0, disk = 0;
  for (const auto& one : report.at("faults").get_array()) {
    const auto& row = one.get_object();
    if (row.at("fault") == "flip at weights") engine = number(row, "detected");
    if (row.at("fault") == "flip at checkpoint") disk = number(row, "detected");
  }
  EXPECT_GE(engine, 2) << json::dump(report);
  EXPECT_EQ(disk, 1) << json::dump(report);
}

TEST(ALearnerThatRefusesEveryBatch, EndsTheRunWithItsReason) { // SUP-7
  scratch place;
  auto run = process::troupe(small_run({"eval.before=false", "eval.every=0", "faults.enabled=true",
                                        "faults.plan=[\"throw learner at=before_step\"]"}),
                             place.path());
  EXPECT_EQ(run.wait(120s), 1) << run.out().substr(0, 3000);
  EXPECT_NE(run.err().find("\"learner\" came up again and again"), std::string::npos) << run.err();
  EXPECT_NE(run.err().find("throw learner at=before_step"), std::string::npos) << run.err();
}

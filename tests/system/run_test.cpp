#include "tests/system/process.hpp"

#include "runtime/base/file.hpp"
#include "runtime/base/http.hpp"

#include <csignal>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <thread>

using namespace std::chrono_literals;
using namespace troupe;
using tests::number;
using tests::printed_object;
using tests::process;
using tests::scratch;
using tests::small_run;

namespace {

/// The report of a finished run, from the program itself.
json::object report_of(const scratch& place, const std::string& run) {
  return printed_object({"report", run, "--json"}, place.path(), 0, 30s);
}

/// Every run ends with it.
void expect_audit(const scratch& place, const std::string& run) {
  const auto audit = printed_object({"audit", run, "--json"}, place.path(), 0, 30s);
  ASSERT_TRUE(audit.contains("balanced"));
  EXPECT_EQ(audit.at("balanced"), json::value(true)) << json::dump(audit);
}

void expect_balance(const json::object& report) {
  const auto& sheet = report.at("rollouts").get_object();
  double sum = number(sheet, "trained") + number(sheet, "pending") + number(sheet, "parked");
  for (const auto& [reason, count] : sheet.at("retired").get_object()) sum += count.to_number<double>();
  EXPECT_EQ(sum, number(sheet, "accepted")) << json::dump(sheet);
}

std::set<double> steps_of(const std::string& output) {
  std::set<double> out;
  for (const auto& r : tests::json_lines(output))
    if (r.at("kind") == "step") out.insert(number(r, "step"));
  return out;
}

} // namespace

TEST(TheProgram, TrainsEvaluatesAndReports) {
  scratch place;
  auto run = process::troupe(small_run(), place.path());
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 2000);
  const auto report = report_of(place, "runs/small");
  expect_balance(report);
  expect_audit(place, "runs/small");
  EXPECT_EQ(number(report.at("rollouts").get_object(), "accepted"), 6 * 16);
  EXPECT_GE(number(report, "max_logprob_gap"), 0);
  EXPECT_LE(number(report, "max_logprob_gap"), 5e-5);
  EXPECT_LE(number(report, "max_staleness"), 1);
  EXPECT_TRUE(report.at("heldout").get_object().at("before").is_object());
  EXPECT_TRUE(report.at("heldout").get_object().at("after").is_object());
  for (const char* file : {"report.html", "report.json", "metrics.jsonl", "config.yaml", "run.db"})
    EXPECT_TRUE(std::filesystem::exists(place.path() / "runs/small" / file)) << file;

  auto list = process::troupe({"inspect", "runs/small", "--json"}, place.path());
  ASSERT_EQ(list.wait(30s), 0) << list.err();
  const auto listed = json::parse(list.out())->get_object();
  EXPECT_GE(number(listed, "total"), 96);
  const auto id = std::string(listed.at("rollouts").get_array()[0].get_object().at("rollout").get_string());
  auto one = process::troupe({"inspect", "runs/small", id}, place.path());
  EXPECT_EQ(one.wait(30s), 0) << one.err();
  EXPECT_FALSE(one.out().empty());

  write_file_atomically(place.path() / "other.jsonl",
                        "{\"id\":\"x\",\"question\":\"What is the capital of "
                        "France?\",\"answer\":\"Paris\",\"split\":\"heldout\"}\n");
  auto measured = process::troupe(
      {"eval", "runs/small", "--tasks", "other.jsonl", "--samples", "2", "--json"}, place.path());
  ASSERT_EQ(measured.wait(60s), 0) << measured.err();
  EXPECT_EQ(number(json::parse(measured.out())->get_object().at("t1").get_object(), "questions"), 1);
}

TEST(TheProgram, TrainsOnSomebodysOwnQuestionsAndDocuments) {
  scratch place;
  std::filesystem::create_directory(place.path() / "docs");
  write_file_atomically(place.path() / "docs/pump.md",
                        "# Pump\nThe pump needs valve V12. Its manual is by Ada Park.\n");
  write_file_atomically(place.path() / "docs/valve.html",
                        "<html><title>Valve V12</title><body>Valve V12 is made of brass.</body></html>");
  write_file_atomically(place.path() / "docs/press.txt", "The press needs valve V7.");
  std::string tasks;
  for (int i = 0; i < 6; ++i) {
    const auto id = std::to_string(i);
    tasks += R"({"id":")" + id +
             R"(","question":"Which valve does the pump need?","answer":"V12","split":")" +
             (i < 4 ? "train" : "heldout") + "\"}\n";
  }
  write_file_atomically(place.path() / "my.jsonl", tasks);
  auto run = process::troupe(small_run({"data.tasks=my.jsonl", "data.corpus=docs/"}), place.path());
  ASSERT_EQ(run.wait(240s), 0) << run.err();
  const auto report = report_of(place, "runs/small");
  expect_balance(report);
  expect_audit(place, "runs/small");
  EXPECT_EQ(number(report.at("heldout").get_object().at("after").get_object(), "questions"), 2);
}

TEST(TheProgram, KilledAtAnyMomentGoesOnWithoutLosingOrRepeatingAStep) { // LEARN-1, ROLL-2
  scratch place;
  const std::vector<std::string> slow = {"rl.steps=8", "tools.simulated_latency=0.1"};
  std::multiset<double> seen;
  auto words = small_run(slow);
  for (const auto pause :
       {0ms, 30ms, 60ms, 100ms, 150ms, 250ms}) { // after the first sign of life of each life
    auto run = process::troupe(words, place.path());
    ASSERT_TRUE(run.says("\"kind\":\"step\"", 120s) || run.wait(0ms) == 0) << run.err() << run.out();
    std::this_thread::sleep_for(pause);
    run.signal(SIGKILL);
    run.wait(10s);
    for (double s : steps_of(run.out())) seen.insert(s);
    words = small_run(slow);
    words.push_back("--resume");
    if (std::filesystem::exists(place.path() / "runs/small/report.json")) break;
  }
  auto last = process::troupe(words, place.path());
  const int code = last.wait(240s);
  if (!std::filesystem::exists(place.path() / "runs/small/report.json")) {
    ASSERT_EQ(code, 0) << last.err();
  }
  for (double s : steps_of(last.out())) seen.insert(s);
  const auto report = report_of(place, "runs/small");
  expect_balance(report);
  expect_audit(place, "runs/small");
  EXPECT_EQ(number(report.at("rollouts").get_object(), "accepted"), 8 * 16)
      << json::dump(report.at("rollouts"));
  EXPECT_EQ(number(report.at("rollouts").get_object(), "pending"), 0);
  // Every step is recorded exactly once, whatever was shown.
  std::map<double, int> recorded;
  for (const auto& r : tests::json_lines(*read_file(place.path() / "runs/small/metrics.jsonl")))
    if (r.at("kind") == "step") ++recorded[number(r, "step")];
  ASSERT_EQ(recorded.size(), 8u);
  for (const auto& [step, times] : recorded) EXPECT_EQ(times, 1) << "step " << step;
}

TEST(TheProgram,
     GivesTheSameBitsSyncAsyncWithEtaZeroAndKilled) { // REP-3, ENG-1, LEARN-1: real engine, real learner
  scratch place;
  auto weights = [&](const std::string& run) {
    return read_file(place.path() / "runs" / run / "checkpoints/step-6/model.safetensors")
        .value_or("none of " + run);
  };
  auto words = [](const std::string& name, std::vector<std::string> more) {
    auto all =
        small_run({"run.name=" + name, "eval.before=false", "eval.every=0", "tools.simulated_latency=0.03"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  auto sync = process::troupe(words("sync", {"rl.mode=sync", "rl.eta=0"}), place.path());
  ASSERT_EQ(sync.wait(120s), 0) << sync.err();
  auto async = process::troupe(words("async", {"rl.mode=async", "rl.eta=0"}), place.path());
  ASSERT_EQ(async.wait(120s), 0) << async.err();
  ASSERT_GT(weights("sync").size(), 10000u);
  EXPECT_TRUE(weights("async") == weights("sync")) << "async with eta = 0 ended in other weights";

  auto killed = process::troupe(words("killed", {"rl.mode=async", "rl.eta=0"}), place.path());
  ASSERT_TRUE(killed.says("\"kind\":\"step\"", 60s)) << killed.err();
  killed.signal(SIGKILL);
  killed.wait(10s);
  auto again = process::troupe(words("killed", {"rl.mode=async", "rl.eta=0", "--resume"}), place.path());
  ASSERT_EQ(again.wait(120s), 0) << again.err();
  EXPECT_TRUE(weights("killed") == weights("sync")) << "a kill changed the weights";
  for (const char* name : {"runs/sync", "runs/async", "runs/killed"}) expect_audit(place, name);
}

TEST(TheProgram, KilledInItsWarmUpGoesOnInItsMiddleToTheSameBits) { // LEARN-7
  scratch place;
  auto words = [](const std::string& name, std::vector<std::string> more) {
    auto all = small_run({"run.name=" + name, "warmup.steps=150", "warmup.checkpoint_every=10", "rl.steps=1",
                          "rl.mode=sync", "rl.eta=0", "eval.before=false", "eval.every=0"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  auto weights = [&](const std::string& run) {
    return read_file(place.path() / "runs" / run / "checkpoints/step-1/model.safetensors")
        .value_or("none of " + run);
  };
  auto whole = process::troupe(words("whole", {}), place.path());
  ASSERT_EQ(whole.wait(240s), 0) << whole.err();
  EXPECT_FALSE(std::filesystem::exists(place.path() / "runs/whole/warmup")) << "it is over: nobody needs it";

  auto killed = process::troupe(words("killed", {}), place.path());
  const auto middle = place.path() / "runs/killed/warmup/step-10";
  for (const auto end = std::chrono::steady_clock::now() + 120s;
       !std::filesystem::exists(middle) && killed.running() && std::chrono::steady_clock::now() < end;)
    std::this_thread::sleep_for(1ms);
  killed.signal(SIGKILL);
  killed.wait(10s);
  ASSERT_FALSE(std::filesystem::exists(place.path() / "runs/killed/checkpoints/step-0")) << "killed too late";
  auto again = process::troupe(words("killed", {"--resume"}), place.path());
  ASSERT_EQ(again.wait(240s), 0) << again.err();
  EXPECT_NE(again.out().find("warm-up: goes on at step "), std::string::npos) << again.out().substr(0, 3000);
  ASSERT_GT(weights("whole").size(), 10000u);
  EXPECT_TRUE(weights("killed") == weights("whole")) << "a kill in the warm-up changed the weights";
  expect_audit(place, "runs/killed");
}

TEST(TheProgram, EndsWithinFiveSecondsOfCtrlCAndSaysHowToGoOn) { // SES-1
  scratch place;
  auto words = small_run({"rl.steps=20000"});
  words[3] = "lines";
  auto run = process::troupe(words, place.path());
  ASSERT_TRUE(run.says("step 1", 120s)) << run.out() << run.err();
  const auto start = std::chrono::steady_clock::now();
  run.signal(SIGINT);
  EXPECT_EQ(run.wait(20s), 3) << run.out() << run.err();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  EXPECT_NE(run.out().find("--resume"), std::string::npos) << run.out();
  expect_audit(place, "runs/small");
}

TEST(TheProgram, EndsAtOnceAtTheSecondCtrlC) { // SES-1
  scratch place;
  auto run = process::troupe(small_run({"rl.steps=5000"}), place.path());
  ASSERT_TRUE(run.says("\"kind\":\"warmup\"", 120s));
  run.signal(SIGINT);
  std::this_thread::sleep_for(5ms);
  run.signal(SIGINT);
  const int code = run.wait(2s);
  EXPECT_TRUE(code == 130 || code == 3) << code; // 3: it was quicker than the second signal
}

TEST(TheProgram, IsObservedAndSteeredByRest) { // CTRL-1
  scratch place;
  auto run = process::troupe(small_run({"rl.steps=20000"}), place.path());
  ASSERT_TRUE(run.says("\"url\":", 60s)) << run.out() << run.err();
  std::string url;
  for (const auto& r : tests::json_lines(run.out()))
    if (r.contains("url")) url = std::string(r.at("url").get_string());
  ASSERT_TRUE(run.says("\"kind\":\"step\"", 120s)) << run.err();
  auto get = [&](const std::string& path) { return http::fetch("GET", url + path); };
  EXPECT_EQ(get("/healthz")->status, 200);
  const auto list = http::fetch_json("GET", url + "/v1/experiments");
  ASSERT_TRUE(list) << to_string(list.error());
  EXPECT_EQ(list->get_object().at("experiments").get_array()[0].get_object().at("id"), "small");
  auto state = http::fetch_json("GET", url + "/v1/experiments/small");
  ASSERT_TRUE(state) << to_string(state.error());
  EXPECT_EQ(state->get_object().at("state"), "training");
  json::object with_rollouts{{"rollouts", state->get_object().at("balance")}};
  expect_balance(with_rollouts);
  const auto audit = http::fetch_json("GET", url + "/v1/experiments/small/audit"); // of a run in progress
  ASSERT_TRUE(audit) << to_string(audit.error());
  EXPECT_EQ(audit->get_object().at("balanced"), json::value(true)) << json::dump(*audit);
  expect_audit(place, "runs/small"); // and from beside it

  EXPECT_EQ(get("/v1/experiments/other")->status, 404);
  EXPECT_EQ(get("/v1/experiments/other")->content_type, "application/problem+json");
  EXPECT_EQ(http::fetch("DELETE", url + "/v1/experiments/small")->status, 405);

  EXPECT_EQ(http::fetch("POST", url + "/v1/experiments/small/pause")->status, 202);
  std::this_thread::sleep_for(3s); // the step in progress ends
  const auto before = steps_of(run.out()).size();
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(steps_of(run.out()).size(), before) << "a paused run took a step";
  EXPECT_EQ(http::fetch("POST", url + "/v1/experiments/small/resume")->status, 202);
  std::this_thread::sleep_for(4s);
  EXPECT_GT(steps_of(run.out()).size(), before);

  const auto metrics = get("/metrics");
  ASSERT_EQ(metrics->status, 200);
  write_file_atomically(place.path() / "metrics.txt", metrics->body);
  if (std::system("command -v promtool >/dev/null") == 0) {
    EXPECT_EQ(std::system(("promtool check metrics < " + (place.path() / "metrics.txt").string()).c_str()),
              0);
  } else {
    std::cout << "promtool is not installed (Debian's prometheus): its check of /metrics is left out\n";
  }
  EXPECT_EQ(http::fetch("POST", url + "/v1/experiments/small/stop")->status, 202);
  EXPECT_EQ(run.wait(10s), 3);
}

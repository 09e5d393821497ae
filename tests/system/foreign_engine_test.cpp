// A run whose engine is a server that others make, as tests/foreign/ has them: vLLM's and SGLang's routes over our CPU engine.
#include "runtime/base/file.hpp"
#include "runtime/base/random.hpp"
#include "tests/foreign/sglang.hpp"
#include "tests/foreign/vllm.hpp"
#include "tests/system/process.hpp"
#include "tests/system/tiny_chat_model.hpp"

#include <algorithm>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::expect_balanced;
using tests::process;
using tests::scratch;
using tests::trained;
using tests::words_of_tokenizer;
using tests::write_model;

namespace {

constexpr int last_step = 6;

std::vector<std::string> words(const std::string& name, std::vector<std::string> more = {}) {
  return tests::run_without_staleness(name, last_step, std::move(more));
}

std::string weights(const scratch& place, const std::string& run) {
  return tests::weights_of(place, run, last_step);
}

/// Every kind is held to the same run with its engine inside, computed once.
struct ARunOnAForeignEngine : testing::TestWithParam<const char*> {
  static inline std::unique_ptr<scratch> place;
  std::unique_ptr<foreign::generator> server;

  static void SetUpTestSuite() {
    place = std::make_unique<scratch>();
    write_model(place->path() / "model", model_family::qwen2, words_of_tokenizer());
    auto run = process::troupe(words("here"), place->path());
    ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
    ASSERT_GT(trained(run.out()), 0) << "nothing to learn from: equal weights would say nothing";
    ASSERT_GT(weights(*place, "here").size(), 10000u);
  }
  static void TearDownTestSuite() { place.reset(); }
  void SetUp() override {
    const auto draws = derive_seed(1, "sampling"); // seed: 1 in the quickstart
    const auto model = place->path() / "model";
    if (std::string(GetParam()) == "Vllm")
      server = std::make_unique<foreign::vllm>(model, draws);
    else
      server = std::make_unique<foreign::sglang>(model, draws);
    server->start();
  }
  std::string name(const std::string& what) const { return what + GetParam(); }
  process begin(const std::string& what, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), "engine.remote=" + server->url());
    return process::troupe(words(name(what), more), place->path());
  }
};

INSTANTIATE_TEST_SUITE_P(OfEveryKind, ARunOnAForeignEngine, testing::Values("Vllm", "Sglang"),
                         [](const auto& one) { return std::string(one.param); });

} // namespace

TEST_P(ARunOnAForeignEngine, EndsInTheWeightsOfTheRunWithItsOwn) { // REM-2, REM-6
  auto run = begin("there");
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  EXPECT_TRUE(weights(*place, name("there")) == weights(*place, "here")) << "the same seed, other weights";
  expect_balanced(*place, "runs/" + name("there"));
  EXPECT_GE(server->seen.loads, 6);
  EXPECT_EQ(server->seen.loads_with_open_turns, 0);
  EXPECT_EQ(server->seen.sampled_before_weights, 0);
  auto again = process::troupe({"replay", "runs/" + name("there")}, place->path()); // needs no server
  EXPECT_EQ(again.wait(120s), 0) << again.out() << again.err();
}

TEST_P(ARunOnAForeignEngine, IsNotChangedByAServerThatDiesAndOneThatBeginsAnewUnseen) { // REM-1, REM-2
  auto run = begin("died", {"rollout.turn_timeout=2", "rollout.time_budget=60"});
  ASSERT_TRUE(run.says("\"kind\":\"step\"", 120s)) << run.err() << run.out().substr(0, 3000);
  server->stop();
  ASSERT_TRUE(run.says("engine_server_away", 20s)) << run.err() << run.out().substr(0, 3000);
  std::this_thread::sleep_for(3s);
  server->start(); // with the weights that it began with: none of this run's
  ASSERT_TRUE(server->until([&] { return server->seen.loads >= 3; }, 60s));
  const int turns = server->with([&] { return server->seen.turns; });
  ASSERT_TRUE(server->until([&] { return server->seen.turns > turns; }, 60s));
  server->with([&] { server->be_reborn(); });
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  EXPECT_TRUE(weights(*place, name("died")) == weights(*place, "here")) << "the same seed, other weights";
  expect_balanced(*place, "runs/" + name("died"));
}

TEST_P(ARunOnAForeignEngine, OfOlderWeightsKeepsItsBooks) { // REM-3, REM-6
  auto run = begin("older", {"rl.eta=2"});
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  expect_balanced(*place, "runs/" + name("older"));
  EXPECT_EQ(server->seen.loads_with_open_turns, 0);
  EXPECT_EQ(server->seen.aborted, 0);
  auto again = process::troupe({"replay", "runs/" + name("older")}, place->path());
  EXPECT_EQ(again.wait(120s), 0) << again.out() << again.err();
}

TEST_P(ARunOnAForeignEngine, EndsResumableWhereAnAnswerIsNone) { // REM-4
  server->how.short_logprobs = 40;
  auto run = begin("short");
  const int code = run.wait(120s);
  EXPECT_TRUE(code > 0 && code < 128) << code;
  const auto said = run.err() + run.out();
  EXPECT_NE(said.find("logprobs and"), std::string::npos) << said.substr(0, 3000);
  EXPECT_NE(said.find("weight versions, expected as many"), std::string::npos) << said.substr(0, 3000);
  server->with([&] { server->how.short_logprobs = 0; });
  auto more = begin("short", {"--resume"});
  ASSERT_EQ(more.wait(240s), 0) << more.err() << more.out().substr(0, 3000);
  EXPECT_TRUE(weights(*place, name("short")) == weights(*place, "here")) << "the same seed, other weights";
  expect_balanced(*place, "runs/" + name("short"));
}

TEST_P(ARunOnAForeignEngine, IsRefusedAtItsStartWithASentence) { // REM-4, REM-7
  const auto refused = [&](const std::string& what, std::vector<std::string> more) {
    auto run = begin("refused", std::move(more));
    const int code = run.wait(60s);
    EXPECT_TRUE(code > 0 && code < 128) << code;
    const auto said = run.err();
    EXPECT_NE(said.find(what), std::string::npos) << said << run.out();
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    std::filesystem::remove_all(place->path() / "runs" / name("refused"));
  };
  server->with([&] { server->how.raw_logprobs = true; });
  refused("sampled at rollout.temperature 0.8", {"rollout.temperature=0.8"});
  refused("model.path", {"model.path="});
}

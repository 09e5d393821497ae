#include "runtime/config.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

enum class pace { sync, async };

struct sample {
  std::string name = "demo";
  std::string tasks;
  int steps = 30;
  std::uint64_t seed = 1;
  double rate = 3e-4;
  bool fast = false;
  pace mode = pace::async;
  std::vector<std::int64_t> ks = {1, 4};
  std::vector<std::string> tools = {"search", "open"};
  double latency = 0;
  void visit(config_visitor& v) {
    v.key("seed", seed, {0}, "", "The seed of everything random.");
    v.section("run", "What this run is called.");
    v.key("run.name", name, "The name of the run's folder.");
    v.key("run.tasks", tasks, "A file of tasks; empty: built in.");
    v.section("rl", "Reinforcement learning.");
    v.key("rl.steps", steps, {1, 1000}, "steps", "Optimizer steps.");
    v.key("rl.learning_rate", rate, {0, 1, true}, "", "Step size of AdamW.");
    v.key("rl.fast", fast, "Skips what is slow.");
    v.key("rl.mode", mode, {{"sync", pace::sync}, {"async", pace::async}}, "Whether rollouts wait.");
    v.section("tools.search", "The search tool.");
    v.key("tools.search.latency", latency, {0, 60}, "seconds", "Extra waiting time.");
    v.key("tools.names", tools, "The tools | an agent may call.");
    v.key("eval.ks", ks, {1, 64}, "samples", "The k of pass@k.");
  }
  expected<void> check() const {
    if (fast && steps > 100)
      return fail(errc::invalid, "rl.fast and rl.steps contradict each other: found 101 or more steps");
    return {};
  }
};

std::string error_of(std::string_view text, std::vector<std::string> overrides = {}) {
  auto got = load_config_text<sample>(text, overrides, "x.yaml");
  if (got) return "no error";
  EXPECT_EQ(got.error().code, errc::invalid);
  return got.error().message;
}

sample load(std::string_view text, std::vector<std::string> overrides = {}) {
  auto got = load_config_text<sample>(text, overrides, "x.yaml");
  EXPECT_TRUE(got) << got.error().message;
  return got.value_or(sample{});
}

} // namespace

TEST(AConfig, KeepsTheDefaultsOfWhatTheFileLeavesOut) {
  auto c = load("rl:\n  steps: 7\n  mode: sync\n");
  EXPECT_EQ(c.steps, 7);
  EXPECT_EQ(c.mode, pace::sync);
  EXPECT_EQ(c.name, "demo");
  EXPECT_DOUBLE_EQ(c.rate, 3e-4);
  EXPECT_EQ(load("").steps, 30);
  EXPECT_EQ(load("# only a comment\nrl:\n").steps, 30);
}

TEST(AConfig, ReadsNestedSectionsAndLists) {
  auto c = load("tools:\n  search: {latency: 0.5}\n  names: [open]\neval:\n  ks: [1, 2, 8]\nseed: 99\n");
  EXPECT_DOUBLE_EQ(c.latency, 0.5);
  EXPECT_EQ(c.tools, std::vector<std::string>{"open"});
  EXPECT_EQ(c.ks, (std::vector<std::int64_t>{1, 2, 8}));
  EXPECT_EQ(c.seed, 99u);
}

TEST(AConfig, NamesTheNearestValidKeyOfAnUnknownOne) { // CONFIG-2
  EXPECT_EQ(error_of("rl:\n  stpes: 3\n"),
            "x.yaml:2:3: rl.stpes: unknown key; the nearest valid key is rl.steps");
  EXPECT_EQ(error_of("run:\n  latency: 3\n"),
            "x.yaml:2:3: run.latency: unknown key; the nearest valid key is tools.search.latency");
  EXPECT_EQ(error_of("rll: {steps: 3}\n"),
            "x.yaml:1:7: rll.steps: unknown key; the nearest valid key is rl.steps");
  EXPECT_EQ(error_of("", {"rl.step=3"}),
            "on the command line: rl.step: unknown key; the nearest valid key is rl.steps");
}

TEST(AConfig, SaysWhatItFoundAndWhatItExpected) { // CONFIG-2
  EXPECT_EQ(error_of("rl:\n  steps: many\n"),
            "x.yaml:2:10: rl.steps: found many, expected a whole number in steps between 1 and 1000");
  EXPECT_EQ(error_of("rl:\n  steps: 2.5\n"),
            "x.yaml:2:10: rl.steps: found 2.5, expected a whole number in steps between 1 and 1000");
  EXPECT_EQ(
      error_of("rl:\n  steps: \"3\"\n"),
      "x.yaml:2:10: rl.steps: found the text \"3\", expected a whole number in steps between 1 and 1000");
  EXPECT_EQ(error_of("rl:\n  steps: [3]\n"),
            "x.yaml:2:10: rl.steps: found a list, expected a whole number in steps between 1 and 1000");
  EXPECT_EQ(error_of("rl:\n  steps: {a: 1}\n"),
            "x.yaml:2:10: rl.steps: found a section, expected a whole number in steps between 1 and 1000");
  EXPECT_EQ(error_of("rl:\n  steps:\n"),
            "x.yaml:2:3: rl.steps: found nothing, expected a whole number in steps between 1 and 1000");
  EXPECT_EQ(error_of("rl:\n  fast: yes\n"), "x.yaml:2:9: rl.fast: found yes, expected true or false");
  EXPECT_EQ(error_of("rl:\n  mode: turbo\n"), "x.yaml:2:9: rl.mode: found turbo, expected sync or async");
  EXPECT_EQ(error_of("run:\n  name:\n"),
            "x.yaml:2:3: run.name: found nothing (write \"\" for an empty text), expected a text");
  EXPECT_EQ(error_of("rl: 3\n"), "x.yaml:1:1: rl: found 3, expected a section of keys");
  EXPECT_EQ(error_of("- a\n"), "x.yaml:1:1: found a list, expected sections of keys");
}

TEST(AConfig, RefusesAValueOutOfItsRange) { // CONFIG-1
  EXPECT_EQ(error_of("rl: {steps: 1001}\n"),
            "x.yaml:1:13: rl.steps: found 1001, expected a whole number in steps between 1 and 1000");
  EXPECT_EQ(error_of("rl: {learning_rate: 0}\n"),
            "x.yaml:1:21: rl.learning_rate: found 0, expected a number above 0 and at most 1");
  EXPECT_EQ(error_of("rl: {learning_rate: .inf}\n"),
            "x.yaml:1:21: rl.learning_rate: found .inf, expected a number above 0 and at most 1");
  EXPECT_EQ(error_of("seed: -1\n"), "x.yaml:1:7: seed: found -1, expected a whole number of at least 0");
  EXPECT_EQ(
      error_of("eval: {ks: [1, 65]}\n"),
      "x.yaml:1:16: eval.ks: found 65, expected a list of whole numbers, each in samples between 1 and 64");
  EXPECT_EQ(error_of("rl: {steps: 99999999999999999999}\n"),
            "x.yaml:1:13: rl.steps: found 99999999999999999999, expected a whole number in steps between 1 "
            "and 1000");
}

TEST(AConfig, RefusesAKeyThatIsGivenTwice) { // CONFIG-2
  EXPECT_EQ(error_of("rl:\n  steps: 3\n  steps: 4\n"), "x.yaml:3:3: rl.steps: given twice, first in line 2");
  EXPECT_EQ(error_of("rl: {steps: 3}\nseed: 1\nrl: {fast: true}\n"),
            "x.yaml:3:1: rl: given twice, first in line 1");
}

TEST(AConfig, ReportsTheFirstProblemAndCountsTheOthers) {
  EXPECT_EQ(error_of("seed: x\nrl:\n  stepz: 1\n  fast: 1\n"),
            "x.yaml:1:7: seed: found x, expected a whole number of at least 0 (and 2 more)");
}

TEST(AConfig, PlacesASyntaxError) {
  EXPECT_TRUE(error_of("rl: [1\nseed: 2\n").starts_with("x.yaml:2:")) << error_of("rl: [1\nseed: 2\n");
  EXPECT_NE(error_of("rl:\n\tsteps: 1\n").find("not valid YAML"), std::string::npos);
}

TEST(AConfig, SurvivesAnAliasThatContainsItself) {
  EXPECT_NE(error_of("rl: &a {b: *a}\n"), "no error");
  EXPECT_NE(error_of("eval: {ks: &a [*a]}\n"), "no error");
}

TEST(AnOverride, BeatsTheFileAndTheLaterOfTwoWins) { // CONFIG-4
  auto c = load("rl: {steps: 5}\n", {"rl.steps=6", "rl.steps=8", "run.tasks=my: odd #name.jsonl",
                                     "eval.ks=[2]", "run.name=\"7\""});
  EXPECT_EQ(c.steps, 8);
  EXPECT_EQ(c.tasks, "my: odd #name.jsonl");
  EXPECT_EQ(c.ks, std::vector<std::int64_t>{2});
  EXPECT_EQ(c.name, "7");
  EXPECT_EQ(load("run: {tasks: a}\n", {"run.tasks="}).tasks, "");
}

TEST(AnOverride, IsCheckedLikeTheFile) { // CONFIG-2
  EXPECT_EQ(error_of("", {"rl.steps"}), "\"rl.steps\": expected an override of the form key=value");
  EXPECT_EQ(error_of("", {"rl.steps=0"}),
            "on the command line: rl.steps: found 0, expected a whole number in steps between 1 and 1000");
  EXPECT_EQ(error_of("", {"rl=3"}),
            "on the command line: rl is a section, expected one of its keys, for example rl.steps");
  EXPECT_EQ(error_of("rl: {steps: 0}\n", {"rl.steps=5"}), "no error");
}

TEST(AConfig, ReportsKeysThatContradictEachOther) {
  EXPECT_EQ(error_of("rl: {fast: true, steps: 500}\n"),
            "x.yaml: rl.fast and rl.steps contradict each other: found 101 or more steps");
}

TEST(AConfig, ThatIsWrittenLoadsBackToTheSame) { // CONFIG-3
  sample c;
  c.name = "true";
  c.tasks = "a \"quoted\" # text: with\nlines \xC3\xA9";
  c.rate = 0.1 + 0.2;
  c.mode = pace::sync;
  c.tools = {"", "a, b", "~"};
  c.ks = {};
  const auto text = dump_yaml(c);
  auto back = load(text);
  EXPECT_EQ(dump_yaml(back), text);
  EXPECT_EQ(back.name, c.name);
  EXPECT_EQ(back.tasks, c.tasks);
  EXPECT_EQ(back.rate, c.rate);
  EXPECT_EQ(back.tools, c.tools);
  EXPECT_EQ(back.ks, c.ks);
  EXPECT_EQ(back.mode, pace::sync);
  EXPECT_NE(
      text.find("  # Optimizer steps. Expected: a whole number in steps between 1 and 1000.\n  steps: 30\n"),
      std::string::npos)
      << text;
}

TEST(AConfig, ExplainsItsKeys) {
  const auto one = explain(sample{}, "rl.steps");
  EXPECT_NE(one.find("rl.steps = 30"), std::string::npos) << one;
  EXPECT_EQ(one.find("rl.mode"), std::string::npos);
  EXPECT_NE(explain(sample{}, "rl").find("rl: Reinforcement learning."), std::string::npos);
  EXPECT_EQ(explain(sample{}, "r"), "");
  EXPECT_NE(explain_markdown(sample{}).find(
                "| `tools.names` | `[search, open]` | a list of texts | The tools \\| an agent"),
            std::string::npos);
  EXPECT_EQ(explain_json(sample{}).as_array().size(), 10u);
  EXPECT_EQ(json::dump(config_json(sample{}).at("tools")),
            R"({"search":{"latency":0.0},"names":["search","open"]})");
}

TEST(AConfig, ListsWhatDiffersFromAnother) {
  sample a, b;
  b.steps = 31, b.mode = pace::sync;
  const auto differences = config_diff(a, b);
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0].key, "rl.steps");
  EXPECT_EQ(differences[0].right, "31");
  EXPECT_EQ(differences[1].left, "async");
}

TEST(AConfig, NamesTheFileThatIsMissing) {
  auto got = load_config<sample>("/nowhere/x.yaml");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), (error{errc::not_found, "no such configuration file: /nowhere/x.yaml"}));
}

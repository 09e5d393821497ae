#include "runtime/fault_plan.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

const fault_targets& targets() {
  static const fault_targets it{{"store", "rollout", "tool"},
                                {{"rollout", "tool_result"}, {"tool", "call", true}}};
  return it;
}

fault_rule parsed(const std::string& text) {
  auto rule = parse_fault_rule(text, targets());
  EXPECT_TRUE(rule) << (rule ? "" : rule.error().message);
  return rule.value_or(fault_rule{});
}

std::string refusal(const std::string& text) {
  auto rule = parse_fault_rule(text, targets());
  return rule ? "it was taken" : rule.error().message;
}

} // namespace

TEST(AFaultRule, IsReadFromWords) {
  const auto kill = parsed("kill any every=2s");
  EXPECT_EQ(kill.what, fault_kind::kill);
  EXPECT_EQ(kill.every, std::chrono::seconds(2));
  EXPECT_TRUE(kill.matches("store") && kill.matches("rollout/t3.1"));
  const auto at = parsed("throw rollout at=tool_result share=0.25");
  EXPECT_EQ(at.point, "tool_result");
  EXPECT_EQ(at.share, 0.25);
  EXPECT_TRUE(at.matches("rollout/t3.1"));
  EXPECT_FALSE(at.matches("rollouts"));
  EXPECT_EQ(parsed("slow tool at=call nth=3 for=500ms").length, std::chrono::milliseconds(500));
  EXPECT_EQ(parsed("hang store after=1.5m").after, std::chrono::seconds(90));
  EXPECT_EQ(parsed("stall rollout/t0.1 rate=0.5 for=2s").rate, 0.5);
}

TEST(AFaultRule, ThatIsWrongIsRefusedWithWhatWasFoundAndExpected) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "expected kill, throw"},
      {"murder store every=1s", "found \"murder\""},
      {"kill stoer every=1s", "found \"stoer\", expected any or a kind of actor: store, rollout, tool"},
      {"kill store", "found no time, expected one of every="},
      {"kill store every=1s after=2s", "found several times"},
      {"kill store every=2", "found \"every=2\", expected every= a time such as"},
      {"kill store every=-2s", "expected every= a time"},
      {"kill store rate=nan", "expected rate= a number"},
      {"kill rollout at=verdct", "found at=verdct, expected a state of rollout: tool_result"},
      {"kill store at=tool_result", "store has no points"},
      {"kill rollout at=tool_result share=0", "expected share= a chance above 0"},
      {"kill rollout at=tool_result nth=1.5", "expected nth= a whole number"},
      {"kill store every=1s share=0.5", "at a point only"},
      {"fail rollout at=tool_result", "nothing is answered there"},
      {"fail tool every=1s", "found fail without at="},
      {"stall store every=1s", "found stall without for="},
      {"kill store every=1s for=2s", "found kill with for="},
      {"stall tool at=call for=1s", "kill, throw, fail, garbage or slow there"},
      {"kill store every=1s colour=red", "found \"colour=red\""},
  };
  for (const auto& [text, expected_words] : cases) {
    const auto said = refusal(text);
    EXPECT_NE(said.find(expected_words), std::string::npos) << text << ": " << said;
  }
}

TEST(AFaultPlan, StrikesBySeedAndCountAlone) { // FAULT-2
  auto strikes = [](std::uint64_t seed) {
    fault_plan plan(seed);
    plan.add(parsed("slow tool at=call share=0.3 for=1s"));
    std::vector<int> out;
    for (int i = 0; i < 200; ++i)
      if (plan.reach("tool", "call", "tool/" + std::to_string(i))) out.push_back(i);
    return out;
  };
  EXPECT_EQ(strikes(1), strikes(1));
  EXPECT_NE(strikes(1), strikes(2));
  EXPECT_NEAR(static_cast<double>(strikes(1).size()), 60, 25);
}

TEST(AFaultPlan, ThrowsWhereItSaysKillAndTellsOfEveryStrike) {
  fault_plan plan(1);
  std::vector<std::string> told;
  plan.on_strike = [&](const fault_strike& it) { told.push_back(it.who); };
  const auto number = plan.add(parsed("kill rollout at=tool_result nth=2"));
  EXPECT_FALSE(plan.reach("rollout", "tool_result", "rollout/t0.0"));
  EXPECT_FALSE(plan.reach("rollout", "other", "rollout/t0.0"));
  EXPECT_THROW(plan.reach("rollout", "tool_result", "rollout/t0.1"), injected_fault);
  EXPECT_EQ(told, std::vector<std::string>{"rollout/t0.1"});
  EXPECT_TRUE(plan.remove(number));
  EXPECT_FALSE(plan.remove(number));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(plan.reach("rollout", "tool_result", "rollout/t0.1"));
}

#include "runtime/fault_plan.hpp"

#include <gtest/gtest.h>
#include <set>

using namespace troupe;

namespace {

const fault_targets& targets() {
  static const fault_targets it{{"store", "rollout", "tool"},
                                {{"rollout", "tool_result"},
                                 {"tool", "call", fault_site::answer},
                                 {"store", "write", fault_site::log},
                                 {"files", "save", fault_site::write},
                                 {"rollout", "weights", fault_site::tensor}},
                                {{"tool_call", "tool"}}};
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
  const auto lost = parsed("drop rollout->store share=0.1 after=1s until=1m");
  EXPECT_EQ(lost.from, "rollout");
  EXPECT_EQ(lost.whom, "store");
  EXPECT_EQ(lost.until, std::chrono::minutes(1));
  EXPECT_TRUE(lost.of_messages());
  EXPECT_EQ(parsed("delay any->any each=3 for=50ms").each, 3u);
  EXPECT_EQ(parsed("jump clock by=-262s every=1s").length, -std::chrono::seconds(262));
  EXPECT_EQ(parsed("enospc store at=write nth=7").nth, 7u);
  EXPECT_EQ(parsed("flip files at=save each=2").what, fault_kind::flip);
  const auto some = parsed("kill rollout every=1s of=0.25 attempts=2");
  EXPECT_EQ(some.of, 0.25);
  EXPECT_EQ(some.attempts, 2);
}

TEST(AFaultRule, ThatIsWrongIsRefusedWithWhatWasFoundAndExpected) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "one of kill, throw"},
      {"murder store every=1s", "found \"murder\""},
      {"kill stoer every=1s", "found \"stoer\", expected any or a kind of actor: store, rollout, tool"},
      {"kill store", "found no time, expected one of every="},
      {"kill store every=1s rate=2", "found several times"},
      {"kill store every=1s at=write", "found several times"},
      {"kill store every=2", "found \"every=2\", expected every= a time such as"},
      {"kill store every=-2s", "expected every= a time"},
      {"kill store every=1s after=5s until=4s", "until= before after="},
      {"kill store rate=nan", "expected rate= a number"},
      {"kill rollout at=verdct", "found at=verdct, expected a state of rollout: tool_result"},
      {"kill store at=tool_result", "expected a state of store: write"},
      {"kill rollout at=tool_result share=0", "expected share= a chance above 0"},
      {"kill rollout at=tool_result nth=1.5", "expected nth= a whole number"},
      {"kill rollout at=tool_result each=0", "expected each= a whole number"},
      {"kill rollout at=tool_result nth=2 each=2", "several of share=, nth= and each="},
      {"kill store every=1s share=0.5", "at a point, or of messages, only"},
      {"fail rollout at=tool_result", "nothing is answered there"},
      {"fail tool every=1s", "found fail without at="},
      {"enospc tool at=call", "found enospc at=call, expected kill, throw, fail, garbage, wrong or slow"},
      {"flip store at=write", "expected kill, throw, enospc or eio"},
      {"kill rollout at=weights", "expected flip"},
      {"stall store every=1s", "found stall without for="},
      {"kill store every=1s for=2s", "found kill with for="},
      {"stall tool at=call for=1s", "kill, throw, fail, garbage, wrong or slow"},
      {"kill files every=1s", "found files without at="},
      {"kill store every=1s colour=red", "found \"colour=red\""},
      {"drop store share=0.1", "found \"store\", expected FROM->TO"},
      {"drop store->stoer share=0.1", "found \"stoer\", expected any or a kind"},
      {"drop any->any", "found no share of messages"},
      {"drop any->any share=1 every=1s", "for messages, expected share="},
      {"drop any->any share=0.1 attempts=1", "of= or attempts= for messages"},
      {"delay any->any share=0.1", "found delay without for="},
      {"kill store every=1s attempts=1", "found attempts= for store"},
      {"jump store by=+1s every=1s", "expected clock"},
      {"jump clock every=1s", "found jump without by="},
      {"jump clock by=soon every=1s", "by= a time with a sign"},
      {"kill store every=1s by=+1s", "found kill with by="},
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

TEST(AFaultPlan, StrikesTheNthTimeOnceAndEachNthAgainAndAgain) {
  auto strikes = [](const std::string& rule) {
    fault_plan plan(1);
    plan.add(parsed(rule));
    std::vector<int> out;
    for (int i = 1; i <= 10; ++i)
      if (plan.reach("tool", "call", "tool/t0.0")) out.push_back(i);
    return out;
  };
  EXPECT_EQ(strikes("fail tool at=call nth=4"), std::vector<int>{4});
  EXPECT_EQ(strikes("fail tool at=call each=4"), (std::vector<int>{4, 8}));
}

TEST(AFaultPlan, TakesOnlyAShareOfThoseMeantAndAlwaysTheSameOnes) {
  fault_plan plan(1);
  plan.add(parsed("fail tool at=call of=0.3"));
  std::set<int> struck[2];
  for (auto& round : struck)
    for (int i = 0; i < 300; ++i)
      if (plan.reach("tool", "call", "tool/t" + std::to_string(i) + ".0")) round.insert(i);
  EXPECT_EQ(struck[0], struck[1]);
  EXPECT_NEAR(static_cast<double>(struck[0].size()), 90, 30);
}

TEST(AFaultPlan, TakesOnlyTheFirstAttemptsOfATask) {
  fault_plan plan(1);
  plan.add(parsed("fail tool at=call attempts=2"));
  for (const auto& [who, is] : std::vector<std::pair<std::string, bool>>{{"tool/t7.0", true},
                                                                         {"tool/t7.1/0/3@12", true},
                                                                         {"tool/t7.2", false},
                                                                         {"tool/t7.12", false},
                                                                         {"tool", false}})
    EXPECT_EQ(plan.reach("tool", "call", who).has_value(), is) << who;
}

TEST(AFaultPlan, KeepsToTheTimesOfARule) { // FAULT-3
  struct : clock {
    duration now() const override { return at; }
    duration wall() const override { return at; }
    duration at = std::chrono::hours(1);
  } time;
  fault_plan plan(1, targets(), &time);
  plan.add(parsed("fail tool at=call after=10s until=20s"));
  plan.add(parsed("drop any->any share=1 until=5s"));
  auto strikes = [&] { return plan.reach("tool", "call", "tool/t0.0").has_value(); };
  auto lost = [&] { return plan.fate("tool_call", "store").kind == message_fate::what::drop; };
  EXPECT_FALSE(strikes());
  EXPECT_FALSE(lost()) << "before the start";
  plan.start();
  EXPECT_TRUE(lost());
  EXPECT_FALSE(strikes());
  time.at += std::chrono::seconds(10);
  EXPECT_TRUE(strikes());
  EXPECT_FALSE(lost());
  time.at += std::chrono::seconds(10);
  EXPECT_FALSE(strikes());
  plan.add(parsed("fail tool at=call after=1s"));
  EXPECT_FALSE(strikes()) << "a rule that is added counts from then";
  time.at += std::chrono::seconds(1);
  EXPECT_TRUE(strikes());
}

TEST(AFaultPlan, DecidesAboutMessagesByTheKindsOfTheirEnds) {
  fault_plan plan(1, targets());
  plan.add(parsed("duplicate tool->any share=1"));
  const auto number = plan.add(parsed("delay rollout->store share=1 for=2s"));
  EXPECT_EQ(plan.fate("tool_call", "rollout").kind, message_fate::what::duplicate);
  EXPECT_EQ(plan.fate("rollout", "store").kind, message_fate::what::delay);
  EXPECT_EQ(plan.fate("rollout", "store").by, std::chrono::seconds(2));
  EXPECT_EQ(plan.fate("rollout", "tool_call").kind, message_fate::what::deliver);
  EXPECT_EQ(plan.fate("tool_call", "health").kind, message_fate::what::deliver)
      << "no kind that a rule may name";
  plan.remove(number);
  EXPECT_EQ(plan.fate("rollout", "store").kind, message_fate::what::deliver);
}

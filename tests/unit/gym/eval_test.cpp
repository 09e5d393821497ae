#include "gym/eval.hpp"

#include "support.hpp"
#include <gtest/gtest.h>

namespace troupe {
namespace {

double at(const json::value& from, std::string_view key) { return from.at(key).to_number<double>(); }

TEST(AnEvaluation, AveragesOverQuestionsAndHops) {
  // samples, correct, format errors, turns, calls
  const std::vector<question_result> results{
      {"a", 1, 4, 4, 0, 8, 4}, {"b", 2, 4, 1, 1, 16, 12}, {"c", 2, 4, 0, 4, 20, 16}, {"d", 3, 0, 0, 0, 0, 0}};
  const json::value out = eval_record(results, {"after", 30, "t1", 12.5});
  EXPECT_EQ(out.at("kind"), "eval");
  EXPECT_EQ(out.at("when"), "after");
  EXPECT_EQ(out.at("step"), 30);
  EXPECT_EQ(out.at("sampling"), "t1");
  EXPECT_EQ(at(out, "questions"), 3) << "a question without a sample counts nowhere";
  EXPECT_NEAR(at(out, "pass_at_1"), 1.25 / 3, 1e-12);
  EXPECT_NEAR(at(out, "pass_at_4"), 2.0 / 3, 1e-12);
  EXPECT_NEAR(at(out, "mean_turns"), 11.0 / 3, 1e-12);
  EXPECT_NEAR(at(out, "mean_tool_calls"), 8.0 / 3, 1e-12);
  EXPECT_NEAR(at(out, "format_error_rate"), 1.25 / 3, 1e-12);
  EXPECT_EQ(at(out, "seconds"), 12.5);
  for (std::string key : {"pass_at_1", "pass_at_4", "mean_turns", "mean_tool_calls", "format_error_rate"}) {
    const auto& interval = out.at(key + "_ci95").as_array();
    ASSERT_EQ(interval.size(), 2u) << key;
    EXPECT_LE(interval[0].to_number<double>(), at(out, key));
    EXPECT_GE(interval[1].to_number<double>(), at(out, key));
  }
  EXPECT_EQ(out.at("pass_at_1_ci95").as_array()[0].to_number<double>(), 0) << "a share has no negative bound";
  const auto& hops = out.at("by_hops").as_object();
  ASSERT_EQ(hops.size(), 2u);
  EXPECT_EQ(at(hops.at("2"), "n"), 2);
  EXPECT_NEAR(at(hops.at("2"), "pass_at_1"), .125, 1e-12);
  EXPECT_NEAR(at(hops.at("2"), "pass_at_4"), .5, 1e-12);
}

TEST(AnEvaluation, HasNoPassAt4OfFewerThanFourSamples) {
  const json::value out =
      eval_record({{"a", 1, 1, 1, 0, 2, 1}, {"b", 0, 1, 0, 0, 2, 1}}, {"before", 0, "greedy", 1});
  EXPECT_TRUE(out.at("pass_at_4").is_null());
  EXPECT_TRUE(out.at("pass_at_4_ci95").is_null());
  EXPECT_DOUBLE_EQ(at(out, "pass_at_1"), .5);
  EXPECT_TRUE(out.at("by_hops").at("1").at("pass_at_4").is_null());
  EXPECT_EQ(out.at("by_hops").as_object().size(), 1u) << "unknown hops are in no group";
}

TEST(AnEvaluation, OfNothingHasNoFigures) {
  const json::value out = eval_record({}, {});
  EXPECT_EQ(at(out, "questions"), 0);
  EXPECT_TRUE(out.at("pass_at_1").is_null());
  EXPECT_TRUE(out.at("pass_at_1_ci95").is_null());
}

TEST(AQuestionsResult, CountsEpisodes) {
  question_result it{"q1", 1};
  auto right = test::make_episode();
  right.turn(test::search_call("France"), true);
  right.observe({{"x", false}});
  right.turn("<answer>Paris</answer>", true);
  auto broken = test::make_episode();
  broken.turn("Paris", true);
  it.add(right, *judge_answer(right, {}));
  it.add(broken, *judge_answer(broken, {}));
  EXPECT_EQ(it.samples, 2);
  EXPECT_EQ(it.correct, 1);
  EXPECT_EQ(it.format_errors, 1);
  EXPECT_EQ(it.turns, 3);
  EXPECT_EQ(it.tool_calls, 1);
}

} // namespace
} // namespace troupe

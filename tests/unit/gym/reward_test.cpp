#include "gym/reward.hpp"

#include "support.hpp"
#include <gtest/gtest.h>

namespace troupe {
namespace {

using test::make_episode, test::search_call;

TEST(Answers, MatchWhenTheirWordsAndNumbersAreEqual) {
  const std::vector<std::pair<std::string, std::string>> equal{
      {"Paris", "paris"},
      {" Paris. ", "Paris"},
      {"the Netherlands", "The Netherlands"},
      {"Guinea-Bissau", "Guinea Bissau"},
      {"N'Djamena", "N\u2019Djamena"},
      {"St. John's", "St Johns"},
      {"1,165 thousand", "1165 thousand"},
      {"1165000", "1165 thousand"},
      {"1.165 million", "1165 thousand"},
      {"3.70", "3.7"},
      {"007", "7"},
      {"+33", "33"},
      {".fr", "fr"},
      {"1-268", "1 268"},
      {"-5", "\u2212"
             "5"},
      {"0", "-0"},
      {"12 km", "12  KM"},
      {"12km", "12 km"},
      {"S\u00e3o Tom\u00e9", "S\u00e3o Tom\u00e9"},
      {"A", "a"},
      {"12345678901234567890123", "12,345,678,901,234,567,890,123"},
      {"0.05 million", "50 thousand"},
      {"two thousand", "two thousand"},
      {"\"Paris\"", "Paris"}};
  for (const auto& [a, b] : equal) {
    EXPECT_TRUE(answers_match(a, b)) << a << " | " << b;
    EXPECT_TRUE(answers_match(b, a)) << b << " | " << a;
  }
}

TEST(Answers, DifferWhenAWordANumberOrAUnitDiffers) {
  const std::vector<std::pair<std::string, std::string>> different{
      {"", ""},
      {"", "Paris"},
      {".", "."},
      {"Paris France", "Paris"},
      {"Pari", "Paris"},
      {"1165", "1165 thousand"},
      {"116 thousand", "1165 thousand"},
      {"-5", "5"},
      {"12 km", "12 kg"},
      {"12%", "12"},
      {"$5", "5"},
      {"3.7", "37"},
      {"1,5", "15"},
      {"1 268", "1268"},
      {"12345678901234567890123", "12345678901234567890124"},
      {"one two", "two one"},
      {"thousand", "1000"},
      {"1165 million", "1165 thousand"}};
  for (const auto& [a, b] : different) {
    EXPECT_FALSE(answers_match(a, b)) << a << " | " << b;
    EXPECT_FALSE(answers_match(b, a)) << b << " | " << a;
  }
}

TEST(AVerdict, IsRefusedWhileTheEpisodeRuns) {
  const auto verdict = judge_answer(make_episode(), {});
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, errc::invalid);
}

/// Only a legal trajectory gets correctness; every other end gets the penalty, and no end gets
/// both.
TEST(AVerdict, GivesCorrectnessToAnswersAndThePenaltyToEveryOtherEnd) {
  const reward_options options{2.0, 0.25, -0.5, .9};
  const auto judged = [&](auto play, int max_turns) {
    auto it = make_episode(max_turns);
    play(it);
    return *judge_answer(it, options);
  };
  const auto right = judged([](episode& e) { e.turn("<answer>paris</answer>", true); }, 5);
  EXPECT_TRUE(right.correct);
  EXPECT_DOUBLE_EQ(right.reward, 2.0);
  EXPECT_DOUBLE_EQ(right.parts.at("correctness"), 2.0);
  EXPECT_DOUBLE_EQ(right.parts.at("format"), 0);
  const auto wrong = judged([](episode& e) { e.turn("<answer>Lyon</answer>", true); }, 5);
  EXPECT_FALSE(wrong.correct);
  EXPECT_DOUBLE_EQ(wrong.reward, 0.25);
  for (const auto& bad : {judged([](episode& e) { e.turn("Paris", true); }, 5),
                          judged([](episode& e) { e.turn("<answer>Paris</answer>", false); }, 5),
                          judged([](episode& e) { e.turn(search_call("a"), true); }, 1),
                          judged([](episode& e) { e.context_full(); }, 5)}) {
    EXPECT_FALSE(bad.correct);
    EXPECT_DOUBLE_EQ(bad.reward, -0.5);
    EXPECT_DOUBLE_EQ(bad.parts.at("correctness"), 0);
    EXPECT_DOUBLE_EQ(bad.parts.at("format"), -0.5);
  }
}

TEST(AVerdict, AcceptsAnyOfSeveralAnswers) {
  episode it(test::question("q", {"Bern", "Berne"}), {}, {});
  it.turn("<answer>Berne</answer>", true);
  EXPECT_TRUE(judge_answer(it, {})->correct);
}

TEST(TurnWeights, DecayFromTheLastTurnBackwardsOnCorrectTrajectoriesOnly) {
  const auto decayed = turn_weights(4, true, .9);
  ASSERT_EQ(decayed.size(), 4u);
  const std::vector<double> wanted{.729, .81, .9, 1};
  double sum = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(decayed[i], wanted[i], 1e-12);
    sum += decayed[i];
  }
  EXPECT_NEAR(sum, 3.439, 1e-12);
  EXPECT_EQ(turn_weights(4, false, .9), std::vector<double>(4, 1.0));
  EXPECT_EQ(turn_weights(3, true, 1.0), std::vector<double>(3, 1.0));
  EXPECT_TRUE(turn_weights(0, true, .9).empty());
}

} // namespace
} // namespace troupe

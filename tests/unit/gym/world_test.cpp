#include "gym/world_facts.hpp"

#include "support.hpp"
#include <algorithm>
#include <gtest/gtest.h>
#include <map>

namespace troupe {
namespace {

std::map<std::string, country_facts> small_facts(double heldout = 0) {
  world_options options;
  options.heldout_share = heldout;
  auto set = read_countries(test::small_countries(), test::small_cities(), options);
  EXPECT_TRUE(set) << to_string(set.error());
  std::map<std::string, country_facts> out;
  for (auto& c : set->countries) out[c.iso] = c;
  return out;
}

TEST(TheCountries, AreThoseThatExistAndHaveEveryFactAndAThousandPeople) {
  const auto facts = small_facts();
  EXPECT_EQ(facts.size(), 10u);
  for (auto iso : {"PN", "AQ", "CS"}) EXPECT_FALSE(facts.contains(iso)) << iso;
  const auto& france = facts.at("FR");
  EXPECT_EQ(france.continent, "Europe");
  EXPECT_EQ(france.capital.population, 2138551);
  EXPECT_EQ(facts.at("BR").capital.population, 2207718) << "an accented capital is found by its other name";
}

TEST(TheCities, HavePlainNamesOfTheirOwnThatMentionNoCountryOrCapital) {
  const auto facts = small_facts();
  const auto names = [&](const char* iso) {
    std::vector<std::string> out;
    for (const auto& city : facts.at(iso).cities) out.push_back(city.name);
    return out;
  };
  EXPECT_EQ(names("FR"), (std::vector<std::string>{"Lyon", "Nice"}))
      << "the largest first; no Paris, no accents, no second Richmond";
  EXPECT_EQ(names("US"), (std::vector<std::string>{"Boston"})) << "no Port Washington";
}

TEST(AName, ThatOthersShareOrContainIdentifiesNoCountry) {
  const auto facts = small_facts();
  EXPECT_FALSE(facts.at("US").own_code) << "1 is Canada's too";
  EXPECT_FALSE(facts.at("DO").own_code) << "two codes";
  EXPECT_TRUE(facts.at("FR").own_code);
  EXPECT_FALSE(facts.at("SG").own_capital);
  EXPECT_FALSE(facts.at("MX").own_capital);
  EXPECT_TRUE(facts.at("FR").own_capital);
  EXPECT_FALSE(facts.at("GN").own_name) << "Equatorial Guinea";
  EXPECT_TRUE(facts.at("GQ").own_name);
}

TEST(TheQuestionForms, HoldOnlyQuestionsWithExactlyOneRightAnswer) {
  const auto facts = small_facts();
  std::map<std::string, std::set<std::string>> asked; // "iso hops" -> "asked by"
  for (const auto& [iso, about] : facts)
    for (int hops = 1; hops <= 3; ++hops)
      for (const auto& forms : question_forms(about, hops))
        for (const auto& form : forms) {
          EXPECT_EQ(form.hops(), hops);
          EXPECT_EQ(oracle_queries(about, form).size(), static_cast<std::size_t>(hops));
          asked[iso + " " + std::to_string(hops)].insert(std::string(to_string(form.asked)) + " by " +
                                                         std::string(to_string(form.by)));
        }
  EXPECT_EQ(asked["FR 1"], (std::set<std::string>{"capital by name", "currency by name", "continent by name",
                                                  "code by name", "domain by name", "country by city"}));
  EXPECT_EQ(asked["FR 3"], (std::set<std::string>{"capital_population by city", "capital_population by code",
                                                  "capital_population by domain"}));
  EXPECT_FALSE(asked["FR 2"].contains("capital by capital"));
  EXPECT_TRUE(asked["FR 2"].contains("capital by code"));
  EXPECT_FALSE(asked["US 2"].contains("capital by code"));
  EXPECT_TRUE(asked["US 1"].contains("code by name"))
      << "the code of the United States is known, the country of code 1 is not";
  EXPECT_FALSE(asked["DO 1"].contains("code by name"));
  EXPECT_TRUE(asked["SG 3"].empty());
  EXPECT_EQ(asked["GN 1"], std::set<std::string>{"country by city"});
  EXPECT_TRUE(asked["GN 2"].empty());
}

TEST(AQuestion, ReadsAsEnglishInBothPhrasings) {
  const auto france = small_facts().at("FR");
  EXPECT_EQ(question_text(france, {relation::capital, entry_point::name, 0, 0}),
            "What is the capital of France?");
  EXPECT_EQ(question_text(france, {relation::continent, entry_point::city, 0, 0}),
            "On what continent is the country where Lyon is?");
  EXPECT_EQ(question_text(france, {relation::currency, entry_point::code, 0, 1}),
            "Which currency is used in the country with calling code 33?");
  EXPECT_EQ(question_text(france, {relation::capital_population, entry_point::domain, 0, 1}),
            "How many people live in the capital of the country with domain .fr?");
  EXPECT_EQ(question_text(france, {relation::country, entry_point::city, 1, 0}), "In which country is Nice?");
  const question_form three{relation::capital_population, entry_point::code, 0, 0};
  EXPECT_EQ(oracle_queries(france, three), (std::vector<std::string>{"calling code 33", "France", "Paris"}));
  EXPECT_EQ(answer_text(france, three.asked), "2.1 million");
}

TEST(Populations, HaveTwoSignificantDigits) {
  const std::vector<std::pair<std::int64_t, std::string>> cases{
      {1000, "1 thousand"},     {1049, "1 thousand"},       {1051, "1.1 thousand"},
      {9949, "9.9 thousand"},   {9951, "10 thousand"},      {26400, "26 thousand"},
      {155963, "160 thousand"}, {994999, "990 thousand"},   {995000, "1 million"},
      {1165000, "1.2 million"}, {3703700, "3.7 million"},   {9960000, "10 million"},
      {48200000, "48 million"}, {126529100, "130 million"}, {1386395000, "1400 million"}};
  for (const auto& [people, text] : cases) EXPECT_EQ(population_text(people), text) << people;
}

TEST(Mentions, AreRunsOfWholeWords) {
  const std::set<std::string> names{"guinea", "new york"};
  EXPECT_TRUE(mentions("Guinea-Bissau", names));
  EXPECT_TRUE(mentions("In New  York.", names));
  EXPECT_FALSE(mentions("Guineas, New Yorker", names));
  EXPECT_FALSE(mentions("", names));
}

TEST(TheDocuments, ShareOneForACodeOfSeveralCountries) {
  world_options options;
  options.heldout_share = 0;
  const auto it = world::build(test::small_countries(), test::small_cities(), options);
  ASSERT_TRUE(it) << to_string(it.error());
  const auto corpus = it->corpus_jsonl();
  const auto first = corpus.find(R"({"id":"code-1",)");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(corpus.find(R"({"id":"code-1",)", first + 1), std::string::npos);
  const auto line = corpus.substr(first, corpus.find('\n', first) - first);
  EXPECT_NE(line.find("Canada, United States."), std::string::npos) << line;
  EXPECT_EQ(corpus.find("\"capital-SG\""), std::string::npos);
  EXPECT_EQ(corpus.find("\"capital-MX\""), std::string::npos);
}

TEST(AWorld, IsTheSameForTheSameSeedAndAnotherForAnother) {
  const auto built = [](std::uint64_t seed) {
    world_options options;
    options.seed = seed;
    options.heldout_share = .4;
    auto it = world::build(test::small_countries(), test::small_cities(), options);
    EXPECT_TRUE(it);
    random_stream random(3);
    std::string demos;
    for (int i = 0; i < 50; ++i)
      for (const auto& part : it->demonstrate({}, random)) demos += part.piece.text;
    return it->corpus_jsonl() + to_jsonl(it->tasks()) + demos;
  };
  EXPECT_EQ(built(1), built(1));
  EXPECT_NE(built(1), built(2));
}

TEST(AWorld, GivesAsManyDistinctQuestionsAsThereAre) {
  world_options options;
  options.heldout_share = 0;
  options.train_questions = 1000000;
  const auto it = world::build(test::small_countries(), test::small_cities(), options);
  ASSERT_TRUE(it);
  std::size_t forms = 0;
  for (const auto& [iso, about] : small_facts())
    for (int hops = 1; hops <= 3; ++hops)
      for (const auto& kind : question_forms(about, hops)) forms += kind.size();
  EXPECT_EQ(it->tasks().size(), forms);
  std::set<std::string> texts, ids;
  for (const auto& one : it->tasks()) texts.insert(one.question), ids.insert(one.id);
  EXPECT_EQ(texts.size(), forms);
  EXPECT_EQ(ids.size(), forms);
}

TEST(AWorld, RefusesDataThatItCannotRead) {
  const auto refused = [](const std::string& countries, const std::string& cities,
                          world_options options = {}) {
    const auto it = world::build(countries, cities, options);
    return it ? std::string("built") : to_string(it.error());
  };
  EXPECT_EQ(refused("{", "{}").substr(0, 31), "corrupt: the countries file: no");
  EXPECT_EQ(refused("[]", "{}"), "invalid: the countries file: found a list, expected an object");
  EXPECT_EQ(refused(R"({"FR":{"iso":"FR","name":7}})", "{}"),
            "invalid: the countries file, \"FR\": \"name\" is a number, expected a string");
  EXPECT_EQ(refused("{}", R"({"1":[]})"), "invalid: the cities file, \"1\": not an object");
  EXPECT_EQ(refused(test::small_countries(), "{}"),
            "invalid: the countries file: found no country with all facts, expected some");
  world_options options;
  options.heldout_share = 1;
  EXPECT_NE(refused(test::small_countries(), test::small_cities(), options)
                .find("leaves none of 10 countries for training"),
            std::string::npos);
  options.heldout_share = 1.5;
  EXPECT_NE(refused(test::small_countries(), test::small_cities(), options).find("expected 0 to 1"),
            std::string::npos);
}

} // namespace
} // namespace troupe

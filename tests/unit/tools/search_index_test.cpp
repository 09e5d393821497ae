#include "tools/search_index.hpp"

#include "tests/unit/tools/folder.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <thread>

using namespace troupe;
using testing::HasSubstr;

namespace {

const std::vector<document> peru_and_lima = {
    {"country/PE", "Peru", "Country in South America. Capital Lima. Calling code 51. Internet domain .pe."},
    {"city/Lima", "Lima", "Capital of Peru. Population 7737 thousand. It has a museum."},
    {"code/51", "Calling code 51", "Telephone prefix of Peru."},
    {"country/GW", "Guinea-Bissau", "Country in Africa. Capital Bissau."},
    {"city/SP", "São Paulo", "City in Brazil."},
};

std::shared_ptr<const search_index> built(const std::vector<document>& documents = peru_and_lima) {
  auto index = search_index::build(documents);
  EXPECT_TRUE(index) << index.error().message;
  return *index;
}

std::vector<std::string> ids(const search_index& index, std::string_view query, int top = 10) {
  auto hits = index.search(query, top);
  if (!hits) return {"error: " + hits.error().message};
  std::vector<std::string> out;
  for (const auto& hit : *hits) out.push_back(hit.id);
  return out;
}

using names = std::vector<std::string>;

} // namespace

TEST(ASearchIndex, BringsTheDocumentAboutAnEntityBeforeThoseThatMentionIt) {
  const auto index = built();
  EXPECT_EQ(ids(*index, "Peru", 1), names{"country/PE"});
  EXPECT_EQ(ids(*index, "Lima", 1), names{"city/Lima"});
  EXPECT_EQ(ids(*index, "calling code 51", 1), names{"code/51"});
  EXPECT_EQ(ids(*index, "guinea BISSAU", 1), names{"country/GW"});
  EXPECT_EQ(ids(*index, "sao paulo", 1), names{"city/SP"}); // without diacritics
}

TEST(ASearchIndex, GivesAtMostTopHitsBestFirst) {
  const auto index = built();
  auto hits = index->search("Peru", 3);
  ASSERT_TRUE(hits);
  ASSERT_EQ(hits->size(), 3u);
  EXPECT_GT(hits->at(0).score, hits->at(1).score);
  EXPECT_GE(hits->at(1).score, hits->at(2).score);
  EXPECT_EQ(hits->at(0).title, "Peru");
  EXPECT_EQ(hits->at(0).text, peru_and_lima[0].text);
  EXPECT_TRUE(ids(*index, "Peru", 0).empty());
}

TEST(ASearchIndex, BreaksTiesByTheOrderOfTheCorpus) { // IDX-2
  const auto index = built({{"z", "same", "x"}, {"a", "same", "x"}, {"m", "same", "x"}, {"o", "other", "y"}});
  EXPECT_EQ(ids(*index, "same"), (names{"z", "a", "m"}));
}

TEST(ASearchIndex, FindsNothingForWordsThatNoDocumentHas) {
  const auto index = built();
  EXPECT_TRUE(ids(*index, "Atlantis").empty());
  EXPECT_TRUE(ids(*index, "").empty());
  EXPECT_TRUE(ids(*index, " ?!\"'()*:^-+ ").empty());
}

TEST(AQuery, IsNeverSyntax) { // IDX-1
  const auto index = built();
  for (const auto* query :
       {"title : Lima", "Lima NOT Capital", "Lima\" OR \"1", "NEAR(Lima Peru, 1)", "Lima*", "-Lima", "^Lima",
        "{title body}: Lima", "Lima); DROP TABLE documents; --", "\xE2\x80\x94 Lima", "'Lima'"})
    EXPECT_EQ(ids(*index, query, 1), names{"city/Lima"}) << query;
  EXPECT_EQ(match_expression("Calling code:51 code"), R"("calling" OR "code" OR "51")");
}

RC_GTEST_PROP(AQuery, OfAnyBytesIsAnsweredTwiceTheSame, (const std::string& bytes)) { // IDX-1, IDX-2
  static const auto index = built();
  const auto query = bytes + " Lima";
  auto hits = index->search(query, 5);
  RC_ASSERT(hits);
  RC_ASSERT(!hits->empty());
  RC_ASSERT(ids(*index, query) == ids(*index, query));
}

TEST(AQuery, OfThousandsOfWordsIsCutNotRefused) {
  std::string query;
  for (int i = 0; i < 20'000; ++i) query += "word" + std::to_string(i) + " ";
  EXPECT_TRUE(built()->search(query, 1));
  EXPECT_TRUE(built()->search("Lima " + query, 1)->front().id == "city/Lima");
  EXPECT_TRUE(built()->search(std::string(1 << 20, '\xFF'), 1));
}

TEST(ASearch, GivesUpPastItsDeadline) {
  struct stopped final : clock {
    duration now() const override { return std::chrono::seconds(5); }
    duration wall() const override { return {}; }
  } time;
  std::vector<document> many;
  for (int i = 0; i < 5000; ++i) many.push_back({std::to_string(i), "same words", "same text here"});
  const auto index = built(many);
  EXPECT_EQ(index->search("same", 1, {&time, std::chrono::seconds(4)}).error().code, errc::timeout);
  EXPECT_TRUE(index->search("same", 1, {&time, std::chrono::seconds(6)}));
  EXPECT_TRUE(index->search("same", 1)); // the connection is as good as new
}

TEST(FindingADocument, GoesByIdThenByTheOnlyTitle) {
  const auto index = built({{"a", "b", "1"}, {"b", "c", "2"}, {"c2", "c", "3"}, {"d", "own", "4"}});
  EXPECT_EQ(index->find("b")->text, "2");
  EXPECT_EQ(index->find("own")->text, "4");
  EXPECT_EQ(index->find("none").error().code, errc::not_found);
  EXPECT_THAT(index->find("c").error().message,
              HasSubstr("several documents have the title \"c\", expected an id: b, c2"));
}

TEST(ASearchIndex, RefusesAnIdThatComesTwice) {
  auto index = search_index::build({{"a", "x", "y"}, {"a", "z", "w"}});
  ASSERT_FALSE(index);
  EXPECT_EQ(to_string(index.error()), "invalid: found the document id \"a\" twice, expected every id once");
}

TEST(ASearchIndexFile, IsUsedAgainWhileTheCorpusIsTheSame) { // IDX-3
  temporary_folder folder;
  const auto file = folder.path() / "an index?#%.db";
  auto first = search_index::open_or_build(file, peru_and_lima);
  ASSERT_TRUE(first) << first.error().message;
  const auto written = std::filesystem::last_write_time(file);
  auto second = search_index::open_or_build(file, peru_and_lima);
  ASSERT_TRUE(second);
  EXPECT_EQ(std::filesystem::last_write_time(file), written);
  EXPECT_EQ((*second)->size(), peru_and_lima.size());
  EXPECT_EQ((*second)->hash(), corpus_hash(peru_and_lima));

  auto changed = peru_and_lima;
  changed[1].text = "Sunk.";
  auto third = search_index::open_or_build(file, changed);
  ASSERT_TRUE(third);
  EXPECT_EQ((*third)->find("Lima")->text, "Sunk.");
  EXPECT_EQ((*second)->find("Lima")->text,
            peru_and_lima[1].text); // who reads the old file goes on reading it
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1); // nothing left beside
}

TEST(ASearchIndexFile, ThatIsDamagedIsAnErrorToOpenAndRebuiltWithTheCorpus) { // IDX-3
  temporary_folder folder;
  const auto file = folder.path() / "i.db";
  EXPECT_EQ(search_index::open(file).error().code, errc::not_found);
  for (const auto& bytes : {std::string(), std::string("not a database"), std::string(8192, '\x01')}) {
    folder.write("i.db", bytes);
    EXPECT_EQ(search_index::open(file).error().code, errc::corrupt);
  }
  ASSERT_TRUE(search_index::open_or_build(file, peru_and_lima));
  EXPECT_TRUE(search_index::open(file));
}

TEST(ASearchIndex, IsSearchedByEightThreadsAtOnceWithTheSameResults) { // IDX-2
  temporary_folder folder;
  std::vector<document> many;
  for (int i = 0; i < 2000; ++i)
    many.push_back(
        {"d" + std::to_string(i), "entity " + std::to_string(i), "part of entity " + std::to_string(i / 2)});
  for (const auto& index : {built(many), *search_index::open_or_build(folder.path() / "i.db", many)}) {
    std::atomic<int> right = 0;
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 8; ++t)
        threads.emplace_back([&, t] {
          for (int i = t; i < 2000; i += 40) {
            const auto id = std::to_string(i);
            right += ids(*index, id, 1) == names{"d" + id} && index->find("d" + id);
          }
        });
    }
    EXPECT_EQ(right, 400);
  }
}

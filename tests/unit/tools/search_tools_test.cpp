#include "tools/search_tools.hpp"

#include "tools/utf8.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <thread>

using namespace troupe;
using testing::HasSubstr;

namespace {

std::shared_ptr<const search_index> index_of(const std::vector<document>& documents) {
  auto index = search_index::build(documents);
  EXPECT_TRUE(index) << index.error().message;
  return *index;
}

const auto some = [] {
  return index_of({{"1", "Peru", "Capital  Lima.\nCountry in America."},
                   {"2", "Lima", "Capital of Peru."},
                   {"3", "Łódź", "Łódź leży w Polsce."}});
};

json::object parsed(std::string_view text) { return json::parse(text)->as_object(); }

std::string answer(tool& it, std::string_view arguments, const tool_context& context = {}) {
  auto out = it.call(parsed(arguments), context);
  return out ? *out : to_string(out.error());
}

} // namespace

TEST(TheSearchTool, GivesOneLineForEachQuery) {
  const auto search = make_search_tool(some());
  EXPECT_EQ(answer(*search, R"({"queries":["Lima"]})"), "Lima: Capital of Peru.");
  EXPECT_EQ(answer(*search, R"({"queries":["Peru","Lima"]})"),
            "Peru: Capital Lima. Country in America.\nLima: Capital of Peru.");
}

TEST(TheSearchTool, GivesTheSameInTheSameOrderWhenItsQueriesRunInParallel) {
  const auto apart = make_search_tool(some(), {.parallel_from = 1000}),
             together = make_search_tool(some(), {.parallel_from = 0});
  for (const auto* queries : {R"({"queries":["Peru","Lima","?","łódź"]})", R"({"queries":["Lima"]})"})
    EXPECT_EQ(answer(*together, queries), answer(*apart, queries));
}

TEST(TheSearchTool, GivesTopResultsForEachQuery) {
  EXPECT_EQ(answer(*make_search_tool(some(), {.top = 2}), R"({"queries":["Lima"]})"),
            "Lima: Capital of Peru.\nPeru: Capital Lima. Country in America.");
}

TEST(TheSearchTool, SaysWhenAQueryHasNoResult) {
  const auto search = make_search_tool(some());
  EXPECT_EQ(answer(*search, R"({"queries":["Atlantis"]})"), "No results.");
  EXPECT_EQ(answer(*search, R"({"queries":["Atlantis","Lima","?"]})"),
            "No results.\nLima: Capital of Peru.\nNo results.");
}

TEST(TheSearchTool, CutsTheTextBetweenCharacters) {
  EXPECT_EQ(answer(*make_search_tool(some(), {.max_chars = 4}), R"({"queries":["łódź"]})"), "Łódź: Łódź");
  EXPECT_EQ(answer(*make_search_tool(some(), {.max_chars = 3}), R"({"queries":["łódź"]})"), "Łódź: Łód");
}

TEST(TheSearchTool, RefusesArgumentsAgainstItsSchema) {
  const auto search = make_search_tool(some());
  EXPECT_EQ(answer(*search, R"({})"), "invalid: \"queries\" is missing, expected a list");
  EXPECT_EQ(answer(*search, R"({"queries":"Lima"})"), "invalid: \"queries\" is a string, expected a list");
  EXPECT_EQ(answer(*search, R"({"queries":[]})"), "invalid: found 0 queries, expected 1 to 4");
  EXPECT_EQ(answer(*search, R"({"queries":["a","b","c","d","e"]})"),
            "invalid: found 5 queries, expected 1 to 4");
  EXPECT_EQ(answer(*search, R"({"queries":[7]})"),
            "invalid: found a number in \"queries\", expected strings");
  EXPECT_EQ(answer(*search, R"({"queries":[""]})"), "invalid: found an empty query, expected words");
  EXPECT_EQ(answer(*search, R"({"queries":["a"],"k":3})"),
            "invalid: found the unknown argument \"k\", expected \"queries\"");
  EXPECT_THAT(answer(*search, "{\"queries\":[\"" + std::string(1001, 'x') + "\"]}"),
              HasSubstr("at most 1000"));
}

TEST(TheSearchTool, TellsItsArgumentsAsAJsonSchema) {
  const auto search = make_search_tool(some(), {.max_queries = 2});
  EXPECT_EQ(search->spec().name, "search");
  EXPECT_TRUE(search->spec().idempotent);
  EXPECT_EQ(json::dump(search->spec().parameters),
            R"({"type":"object","properties":{"queries":{"type":"array","description":"what to look for",)"
            R"("items":{"type":"string","minLength":1,"maxLength":1000},"minItems":1,"maxItems":2}},)"
            R"("required":["queries"],"additionalProperties":false})");
}

TEST(TheSearchTool, GivesUpPastItsBudget) {
  struct leaping final : clock { // a second passes at each look
    duration now() const override { return std::chrono::seconds(looks++); }
    duration wall() const override { return {}; }
    mutable int looks = 0;
  } time;
  const auto search = make_search_tool(some(), {}, time);
  EXPECT_THAT(answer(*search, R"({"queries":["Lima","Peru"]})", {.budget = std::chrono::seconds(1)}),
              HasSubstr("timeout: "));
  EXPECT_EQ(answer(*search, R"({"queries":["Lima"]})", {.budget = std::chrono::seconds(100)}),
            "Lima: Capital of Peru.");
  EXPECT_EQ(answer(*search, R"({"queries":["Lima"]})"), "Lima: Capital of Peru.");
}

TEST(TheSearchTool, AnswersEightThreadsAtOnce) {
  const auto search = make_search_tool(some());
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i)
          right +=
              answer(*search, R"({"queries":["Lima","Atlantis"]})") == "Lima: Capital of Peru.\nNo results.";
      });
  }
  EXPECT_EQ(right, 800);
}

TEST(TheOpenTool, ShowsADocumentPageByPage) {
  const auto open =
      make_open_tool(index_of({{"x", "Title", "Łódź leży"}, {"empty", "Nothing", ""}}), {.page_chars = 4});
  EXPECT_EQ(answer(*open, R"({"id":"x"})"), "Łódź\npage 1 of 3");
  EXPECT_EQ(answer(*open, R"({"id":"x","page":2})"), " leż\npage 2 of 3");
  EXPECT_EQ(answer(*open, R"({"id":"Title","page":3})"), "y\npage 3 of 3");
  EXPECT_EQ(answer(*open, R"({"id":"empty"})"), "\npage 1 of 1");
}

TEST(TheOpenTool, FailsWithATypeAndASentence) {
  const auto open = make_open_tool(some());
  EXPECT_EQ(answer(*open, R"({"id":"9"})"), "not_found: no document \"9\"");
  EXPECT_EQ(answer(*open, R"({"id":"1","page":2})"), "not_found: no page 2: the document has 1 page");
  EXPECT_EQ(answer(*open, R"({"id":"1","page":9223372036854775807})"),
            "not_found: no page 9223372036854775807: the document has 1 page");
  EXPECT_EQ(answer(*open, R"({"id":"1","page":0})"), "invalid: found page 0, expected 1 or more");
  EXPECT_EQ(answer(*open, R"({"id":"1","page":1.5})"),
            "invalid: \"page\" is a number, expected a whole number");
  EXPECT_EQ(answer(*open, R"({"page":1})"), "invalid: \"id\" is missing, expected a string");
  EXPECT_EQ(answer(*open, R"({"id":"1","pages":1})"),
            "invalid: found the unknown argument \"pages\", expected \"id\", \"page\"");
}

TEST(TheOpenTool, TellsItsArgumentsAsAJsonSchema) {
  EXPECT_EQ(
      json::dump(make_open_tool(some())->spec().parameters),
      R"({"type":"object","properties":{"id":{"type":"string","description":"id or title","minLength":1,)"
      R"("maxLength":1000},"page":{"type":"integer","description":"1 is the first","minimum":1}},)"
      R"("required":["id"],"additionalProperties":false})");
}

RC_GTEST_PROP(ThePagesOfADocument, InARowAreItsText, ()) {
  const auto points = *rc::gen::container<std::vector<char32_t>>(
      rc::gen::element<char32_t>(U'a', U' ', U'\n', U'é', U'漢', U'😀'));
  std::string text;
  for (const auto c : points)
    text += c == U'é' ? "é" : c == U'漢' ? "漢" : c == U'😀' ? "😀" : std::string(1, char(c));
  const int chars = *rc::gen::inRange(1, 9);
  const auto open = make_open_tool(index_of({{"x", "T", text}}), {.page_chars = chars});
  std::string all;
  for (int page = 1;; ++page) {
    auto shown = open->call({{"id", "x"}, {"page", page}}, {});
    if (!shown) break;
    const auto body = shown->substr(0, shown->rfind('\n'));
    RC_ASSERT(count_chars(body) <= std::size_t(chars));
    all += body;
  }
  RC_ASSERT(all == text);
}

TEST(Utf8, IsCheckedAsRfc3629Says) {
  for (const auto* good : {"", "a", "é", "漢", "😀", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"})
    EXPECT_EQ(first_invalid_utf8(good), std::string_view(good).size()) << good;
  for (const auto* bad : {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xF5", "\xE2\x82", "\xF0\x9F\x98", "\xFF"})
    EXPECT_EQ(first_invalid_utf8(std::string("ab") + bad), 2u);
  EXPECT_EQ(first_invalid_utf8(std::string_view("a\0b", 3)), 3u);
  EXPECT_EQ(count_chars("aé漢😀"), 4u);
  EXPECT_EQ(first_chars("aé漢😀", 3), "aé漢");
  EXPECT_EQ(first_chars("\xF0\x9F", 5), "\xF0\x9F");
}

#include "gym/chat.hpp"
#include "support.hpp"
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace troupe {
namespace {

using test::schemas, test::search_call;

parsed_turn read(std::string_view text, bool ended = true, int max_calls = 4) {
  return parse_turn(text, ended, schemas(), max_calls);
}

TEST(ATurn, WithOneCallGivesItsToolAndArguments) { // PARSE-2
  const auto turn = read(search_call("Paris"));
  ASSERT_EQ(turn.error, format_error::none) << turn.detail;
  ASSERT_EQ(turn.calls.size(), 1u);
  EXPECT_EQ(turn.calls[0].tool, "search");
  EXPECT_EQ(json::dump(turn.calls[0].arguments), R"({"queries":["Paris"]})");
  EXPECT_FALSE(turn.answer);
}

TEST(ATurn, MayHoldSeveralCallsInTheirOrder) {
  const auto turn = read(search_call("Paris") +
                         R"(<tool_call> {"arguments":{"id":"a","page":2},"name":"open"} </tool_call>)");
  ASSERT_EQ(turn.error, format_error::none) << turn.detail;
  ASSERT_EQ(turn.calls.size(), 2u);
  EXPECT_EQ(turn.calls[1].tool, "open");
}

TEST(ATurn, WithAnAnswerGivesItAsItWasWritten) {
  const auto turn = read("<answer> 1165 thousand \n</answer>");
  ASSERT_EQ(turn.error, format_error::none) << turn.detail;
  EXPECT_EQ(turn.answer, " 1165 thousand \n");
  EXPECT_TRUE(turn.calls.empty());
}

struct malformed_case {
  std::string text;
  format_error kind;
};

TEST(AMalformedTurn, IsCountedByItsKindAndRunsNothing) { // PARSE-2, PARSE-3
  const std::string good = search_call("Paris");
  const auto call = [](std::string body) { return "<tool_call>" + body + "</tool_call>"; };
  const std::vector<malformed_case> cases{
      {"", format_error::nothing},
      {"Paris", format_error::nothing},
      {"{\"name\":\"search\"}", format_error::nothing},
      {" ", format_error::nothing},
      {"Paris" + good, format_error::stray_text},
      {good + " ", format_error::stray_text},
      {" " + good, format_error::stray_text},
      {good + "\n" + good, format_error::stray_text},
      {"<answer>a</answer>.", format_error::stray_text},
      {"<answer>a</answer><answer>b</answer>", format_error::stray_text},
      {"</tool_call>", format_error::stray_text},
      {"<|user|>" + good, format_error::stray_text},
      {good + "<|tool|>Paris: it is.", format_error::stray_text},
      {"<tool_call>{\"name\":\"search\"", format_error::unclosed_call},
      {"<tool_call>", format_error::unclosed_call},
      {"<tool_call>" + good, format_error::unclosed_call},
      {"<tool_call>{}</answer>", format_error::unclosed_call},
      {call(R"({"name":"search","arguments":{"queries":["<|user|>"]}})"), format_error::unclosed_call},
      {call(""), format_error::not_json},
      {call(R"({"name":"search","arguments":{"queries":["Paris"}})"), format_error::not_json},
      {call(R"({"name":"search","arguments":{"queries":["Paris]}})"), format_error::not_json},
      {call(R"([{"name":"search","arguments":{"queries":["Paris"]}}])"), format_error::not_json},
      {call(R"({"name":"search","name":"search","arguments":{}})"), format_error::not_json},
      {call(R"({"name":"search","arguments":{"queries":["a"]}}{})"), format_error::not_json},
      {call("1e999"), format_error::not_json},
      {call(std::string(300, '[')), format_error::not_json},
      {call("{}"), format_error::bad_call_shape},
      {call(R"({"name":"search"})"), format_error::bad_call_shape},
      {call(R"({"name":3,"arguments":{}})"), format_error::bad_call_shape},
      {call(R"({"name":"search","arguments":"Paris"})"), format_error::bad_call_shape},
      {call(R"({"name":"search","arguments":{"queries":["Paris"]},"id":1})"), format_error::bad_call_shape},
      {call(R"({"name":"lookup","arguments":{"queries":["Paris"]}})"), format_error::unknown_tool},
      {call(R"({"name":"Search","arguments":{"queries":["Paris"]}})"), format_error::unknown_tool},
      {call(R"({"name":"search","arguments":{}})"), format_error::bad_arguments},
      {call(R"({"name":"search","arguments":{"queries":"Paris"}})"), format_error::bad_arguments},
      {call(R"({"name":"search","arguments":{"queries":[]}})"), format_error::bad_arguments},
      {call(R"({"name":"search","arguments":{"queries":[""]}})"), format_error::bad_arguments},
      {call(R"({"name":"search","arguments":{"queries":["a"],"top":3}})"), format_error::bad_arguments},
      {call(R"({"name":"open","arguments":{"id":"a","page":0}})"), format_error::bad_arguments},
      {good + good + good + good + good, format_error::too_many_calls},
      {"<answer>Paris", format_error::unclosed_answer},
      {"<answer>Paris<|end|>", format_error::unclosed_answer},
      {"<answer>Paris</tool_call>", format_error::unclosed_answer},
      {"<answer></answer>", format_error::empty_answer},
      {"<answer> \n</answer>", format_error::empty_answer},
      {good + "<answer>Paris</answer>", format_error::call_and_answer},
      {"<answer>Paris</answer>" + good, format_error::call_and_answer},
      {"<answer>\xC3</answer>", format_error::not_utf8},
      {"<answer>\xED\xA0\x80</answer>", format_error::not_utf8},
      {"\xFF", format_error::not_utf8},
  };
  std::set<format_error> seen{format_error::none, format_error::cut_off};
  for (const auto& one : cases) {
    const auto turn = read(one.text);
    EXPECT_EQ(to_string(turn.error), to_string(one.kind)) << one.text << "\n" << turn.detail;
    EXPECT_TRUE(turn.calls.empty()) << one.text;
    EXPECT_FALSE(turn.answer) << one.text;
    EXPECT_FALSE(turn.detail.empty()) << one.text;
    seen.insert(one.kind);
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(format_error_kinds)) << "a kind without a case";
}

TEST(ATurnThatWasCutOff, IsMalformedEvenIfItReadsWell) {
  EXPECT_EQ(read("<answer>Paris</answer>", false).error, format_error::cut_off);
  EXPECT_EQ(read("<answer>\xC3", false).error, format_error::cut_off);
}

TEST(TheKindsOfFormatErrors, HaveDifferentNames) {
  std::set<std::string_view> names;
  for (int i = 0; i < format_error_kinds; ++i) names.insert(to_string(static_cast<format_error>(i)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(format_error_kinds));
}

// -- properties

void check_shape(const parsed_turn& turn, int max_calls) {
  if (turn.error != format_error::none) {
    RC_ASSERT(turn.calls.empty());
    RC_ASSERT(!turn.answer);
    RC_ASSERT(!turn.detail.empty());
    RC_ASSERT(valid_utf8(turn.detail));
  } else {
    RC_ASSERT(turn.calls.empty() == turn.answer.has_value());
    RC_ASSERT(static_cast<int>(turn.calls.size()) <= max_calls);
  }
}

RC_GTEST_PROP(TheTurnParser, NeverThrowsOnArbitraryBytes, ()) { // PARSE-1, PARSE-2
  const auto text = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  check_shape(parse_turn(text, *rc::gen::arbitrary<bool>(), schemas(), 4), 4);
}

/// Pieces of turns in any order reach far deeper than arbitrary bytes do.
RC_GTEST_PROP(TheTurnParser, NeverThrowsOnAnyMixtureOfTheFormatsPieces, ()) { // PARSE-1, PARSE-2
  static const std::vector<std::string> pieces{"<tool_call>",
                                               "</tool_call>",
                                               "<answer>",
                                               "</answer>",
                                               "<|end|>",
                                               "<|user|>",
                                               "<|pad|>",
                                               R"({"name":"search","arguments":)",
                                               R"({"queries":["Paris"]}})",
                                               R"({"queries":)",
                                               "[\"",
                                               "\"]",
                                               "}}",
                                               "{",
                                               "}",
                                               "\"name\":",
                                               "\"open\"",
                                               ",",
                                               " ",
                                               "\\u0000",
                                               "\\ud800",
                                               "\xC3\xA9",
                                               "\xC3",
                                               "1e5",
                                               "Paris"};
  std::string text;
  for (const auto i :
       *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, static_cast<int>(pieces.size()))))
    text += pieces[static_cast<std::size_t>(i)];
  check_shape(parse_turn(text, true, schemas(), 2), 2);
}

RC_GTEST_PROP(TheTurnParser, NeverThrowsOnAMutatedTurn, ()) { // PARSE-1, PARSE-2
  std::string text =
      *rc::gen::element(search_call("Paris") + search_call("Nice"), std::string("<answer>Paris</answer>"));
  for (int edits = *rc::gen::inRange(1, 4); edits > 0 && !text.empty(); --edits) {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    switch (*rc::gen::inRange(0, 3)) {
    case 0: text.erase(at, *rc::gen::inRange<std::size_t>(1, 5)); break;
    case 1: text.insert(at, 1, *rc::gen::arbitrary<char>()); break;
    default: text[at] = *rc::gen::arbitrary<char>(); break;
    }
  }
  check_shape(parse_turn(text, true, schemas(), 4), 4);
}

RC_GTEST_PROP(TheTurnParser, GivesBackEveryQueryThatWasWrittenAsJson, ()) {
  const auto query = *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127)));
  RC_PRE(query.size() <= 200);
  for (const auto& name : special_tokens()) RC_PRE(query.find(name) == std::string::npos);
  const auto turn = parse_turn(search_call(query), true, schemas(), 4);
  RC_ASSERT(turn.error == format_error::none);
  RC_ASSERT(turn.calls[0].arguments.at("queries").as_array()[0].as_string() == query);
}

RC_GTEST_PROP(ClippingAtAUtf8Boundary, KeepsAPrefixOfWholeCharacters, ()) {
  std::string text;
  for (const auto c : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4)))
    text += std::vector<std::string>{"a", "\u00e9", "\u20ac", "\U0001F600"}[static_cast<std::size_t>(c)];
  const auto limit = *rc::gen::inRange<std::size_t>(0, 40);
  const auto kept = clip_utf8(text, limit);
  RC_ASSERT(text.starts_with(kept));
  RC_ASSERT(valid_utf8(kept));
  RC_ASSERT(kept.size() <= limit);
  RC_ASSERT(kept.size() == text.size() || kept.size() + 4 > limit);
}

} // namespace
} // namespace troupe

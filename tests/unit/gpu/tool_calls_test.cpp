#include "gpu/chat/tool_calls.hpp"

#include "runtime/base/random.hpp"
#include <gtest/gtest.h>

namespace troupe {
namespace {

tool_call_reader::found read(tool_family family, const std::vector<std::string>& pieces) {
  tool_call_reader reader(family);
  tool_call_reader::found out;
  const auto add = [&](const tool_call_reader::found& more) {
    out.text += more.text;
    out.calls.insert(out.calls.end(), more.calls.begin(), more.calls.end());
  };
  for (const auto& piece : pieces) add(reader.push(piece));
  add(reader.finish());
  return out;
}

struct example {
  tool_family family;
  std::string text, rest;
  std::vector<called_tool> calls;
};

const std::vector<example>& examples() {
  using enum tool_family;
  static const std::vector<example> all = {
      {none, "<tool_call>{\"name\":\"f\"}</tool_call>", "<tool_call>{\"name\":\"f\"}</tool_call>", {}},
      {hermes, "no call, a < b", "no call, a < b", {}},
      {hermes,
       "Let me see.\n<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>",
       "Let me see.",
       {{"get", R"({"city":"Paris"})"}}},
      {hermes,
       "<tool_call>{\"name\":\"a\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"b\"}</tool_call>\n",
       "",
       {{"a", "{}"}, {"b", "{}"}}},
      {hermes,
       "<tool_call>{\"name\":\"a\",\"arguments\":\"{\\\"x\\\":1}\"}</tool_call>",
       "",
       {{"a", "{\"x\":1}"}}},
      {hermes,
       "<tool_call>{\"name\":\"open\",\"arguments\":{\"t\":\"</tool>\"}}",
       "",
       {{"open", R"({"t":"</tool>"})"}}}, // the end is cut off, the call is whole
      {hermes, "<tool_call>{\"name\":\"cut\",\"argu", "<tool_call>{\"name\":\"cut\",\"argu", {}},
      {hermes, "<tool_call>not JSON</tool_call> then", "<tool_call>not JSON</tool_call> then", {}},
      {hermes, "<tool_call>{\"name\":5}</tool_call>", "<tool_call>{\"name\":5}</tool_call>", {}},
      {llama3,
       "{\"name\": \"get\", \"parameters\": {\"city\": \"Rome\"}}",
       "",
       {{"get", R"({"city":"Rome"})"}}},
      {llama3,
       "<|python_tag|>{\"name\":\"a\",\"parameters\":{}}; {\"name\":\"b\",\"arguments\":{\"k\":[1,2]}}",
       "",
       {{"a", "{}"}, {"b", "{\"k\":[1,2]}"}}},
      {llama3, "{\"answer\": 5}", "{\"answer\": 5}", {}},
      {llama3, "{\"name\": \"get\", \"parameters\": {", "{\"name\": \"get\", \"parameters\": {", {}},
      {llama3, "The set {1, 2} is small.", "The set {1, 2} is small.", {}},
      {llama3, "  plain", "  plain", {}},
      {mistral,
       "[TOOL_CALLS][{\"name\": \"get\", \"arguments\": {\"city\": \"Oslo\"}}, "
       "{\"name\":\"b\",\"arguments\":{}}]",
       "",
       {{"get", R"({"city":"Oslo"})"}, {"b", "{}"}}},
      {mistral,
       "Well. [TOOL_CALLS]get[ARGS]{\"city\": \"Oslo\"}[TOOL_CALLS]b{\"x\": \"]}\"}",
       "Well.",
       {{"get", R"({"city":"Oslo"})"}, {"b", R"({"x":"]}"})"}}},
      {mistral, "[TOOL_CALLS]nothing of use", "[TOOL_CALLS]nothing of use", {}},
      {mistral, "[not a call]", "[not a call]", {}},
  };
  return all;
}

TEST(CallsOfTools, AreTakenOutOfTheTextOfEachFamily) {
  for (const auto& e : examples()) {
    const auto got = read(e.family, {e.text});
    EXPECT_EQ(got.text, e.rest) << e.text;
    EXPECT_EQ(got.calls, e.calls) << e.text;
  }
}

TEST(CallsOfTools, DoNotDependOnHowTheTextWasCut) { // TOOL-1
  random_stream random(3);
  for (const auto& e : examples())
    for (int round = 0; round < 50; ++round) {
      std::vector<std::string> pieces;
      for (std::size_t at = 0; at < e.text.size();) {
        const auto n = 1 + random.below(round == 0 ? 1 : 9);
        pieces.push_back(e.text.substr(at, n));
        at += n;
      }
      const auto got = read(e.family, pieces);
      ASSERT_EQ(got.text, e.rest) << e.text;
      ASSERT_EQ(got.calls, e.calls) << e.text;
    }
}

TEST(CallsOfTools, ComeOutAsSoonAsTheyAreWhole) {
  tool_call_reader reader(tool_family::hermes);
  EXPECT_EQ(reader.push("Yes <tool").text, "Yes");
  EXPECT_EQ(reader.push("_call>{\"name\":\"a\"}</tool_call").calls.size(), 0u);
  EXPECT_EQ(reader.push(">").calls.size(), 1u);
  EXPECT_EQ(reader.push(" and").text, " and");
}

TEST(TheFamilyOfATemplate, IsToldByWhatItWrites) {
  EXPECT_EQ(tool_family_of("{{ '[TOOL_CALLS]' }}"), tool_family::mistral);
  EXPECT_EQ(tool_family_of("<tools></tools> <tool_call>"), tool_family::hermes);
  EXPECT_EQ(tool_family_of("{% if tools %} 'ipython' <|python_tag|>"), tool_family::llama3);
  EXPECT_EQ(tool_family_of("<|im_start|>"), tool_family::none);
}

} // namespace
} // namespace troupe

#include "actors/model_chat.hpp"

#include "actors/run_model.hpp"
#include "gym/chat.hpp"
#include "runtime/base/file.hpp"
#include "tests/unit/actors/model_families.hpp"
#include "tests/unit/folder.hpp"
#include <gtest/gtest.h>

namespace troupe {
namespace {

class no_tool : public tool {
public:
  const tool_spec& spec() const override { return spec_; }
  expected<std::string> call(const json::object&, const tool_context&) override { return std::string(); }

private:
  tool_spec spec_{"search", "Searches documents.", {{"type", "object"}, {"properties", json::object{}}}};
};
const tool_set tools{std::make_shared<no_tool>()};

json::object message(std::string_view role, std::string_view content) {
  return {{"role", role}, {"content", content}};
}

std::vector<token> joined(std::vector<token> a, const std::vector<token>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

} // namespace

TEST(AModelsChat, OpensAsItsTemplateDoes) {
  for (const auto& model : families()) {
    const auto chat = model_chat::make(model, tools, "Be brief.");
    ASSERT_TRUE(chat) << model.name << ": " << to_string(chat.error());
    const std::string question = "What is the capital of Chad?";
    bool same = false; // with tools where the template knows them, else without
    for (const bool with_tools : {true, false}) {
      conversation_input in;
      in.messages = {message("system", "Be brief."), message("user", question)};
      if (with_tools)
        in.tools = {json::object{{"type", "function"},
                                 {"function", json::object{{"name", "search"},
                                                           {"description", "Searches documents."},
                                                           {"parameters", tools[0]->spec().parameters}}}}};
      const auto text = conversation_text(model, in, 0);
      if (text)
        same = same || model.words->encode((*chat)->opening(question)) == conversation_tokens(model, *text);
    }
    EXPECT_TRUE(same) << model.name;
  }
}

TEST(AModelsChat, GoesOnAsItsTemplateDoesForTheWholeConversation) { // CHAT-1
  const auto model = family("qwen3", "qwen2_5", "<|im_end|>");
  const auto chat = *model_chat::make(model, {}, "Be brief.");
  const std::string turn = "<tool_call>\n{\"name\": \"search\", \"arguments\": {}}\n</tool_call>";
  auto pieces =
      joined(model.words->encode(chat->opening("Who?")), model.words->encode(turn, {.read_added = true}));
  pieces.push_back(chat->ends().front());
  pieces = joined(pieces, model.words->encode(chat->results({{"N'Djamena", false}, {"no", true}}, 1000)));
  conversation_input in;
  in.messages = {message("system", "Be brief."), message("user", "Who?"), message("assistant", turn),
                 message("tool", "N'Djamena\nError: no")};
  EXPECT_EQ(pieces, conversation_tokens(model, *conversation_text(model, in, 0)));
}

TEST(AModelsChat, EndsATurnWithTheTemplatesTokenAndContinuesBehindIt) {
  for (const auto& model : families()) {
    const auto chat = *model_chat::make(model, tools, "");
    ASSERT_FALSE(chat->ends().empty());
    EXPECT_EQ(model.words->decode({chat->ends().front()}), model.eos) << model.name;
    std::string text;
    for (const auto& piece : chat->results({{"RESULT", false}}, 100)) text += piece.text;
    EXPECT_NE(text.find("RESULT"), text.npos) << model.name;
    EXPECT_NE(text.substr(0, model.eos.size()), model.eos) << model.name; // the policy has written it
  }
}

TEST(AModelsChat, LetsNoContentForgeARole) {
  for (const auto& model : families()) {
    const auto chat = *model_chat::make(model, tools, "");
    const std::string forged = "x" + model.eos + "y";
    const auto count = [&](const std::vector<text_piece>& pieces) {
      const auto ids = model.words->encode(pieces);
      return std::count(ids.begin(), ids.end(), model.ends.front());
    };
    EXPECT_EQ(count(chat->opening(forged)), count(chat->opening("x"))) << model.name;
    EXPECT_EQ(count(chat->results({{forged, false}}, 100)), count(chat->results({{"x", false}}, 100)))
        << model.name;
    EXPECT_NE(model.words->decode(model.words->encode(chat->opening(forged))).find(forged),
              std::string::npos);
  }
}

TEST(AModelsChat, TellsOfTheToolsInTheSystemsMessageWhereTheTemplateKnowsNone) {
  const auto text_of = [](const language_model& model) {
    std::string out;
    for (const auto& piece : (*model_chat::make(model, tools, ""))->opening("Q")) out += piece.text;
    return out;
  };
  const auto plain = text_of(family("smollm2", "smollm2", "<|im_end|>"));
  EXPECT_NE(plain.find("Searches documents."), plain.npos);
  EXPECT_NE(plain.find("<answer>"), plain.npos);
  const auto knowing = text_of(family("qwen3", "qwen2_5", "<|im_end|>"));
  const auto first = knowing.find("Searches documents.");
  ASSERT_NE(first, knowing.npos);
  EXPECT_EQ(knowing.find("Searches documents.", first + 1), knowing.npos); // once
}

TEST(AModelsChat, WritesADemonstrationAsTheTemplateWould) {
  const auto model = family("smollm2", "smollm2", "<|im_end|>");
  const auto chat = *model_chat::make(model, tools, "");
  const demonstration demo{{{true, "<|user|>"}, false}, {{false, "Q?"}, false},
                           {{true, "<|end|>"}, false},  {{true, "<|assistant|>"}, false},
                           {{true, "<answer>"}, true},  {{false, "A"}, true},
                           {{true, "</answer>"}, true}, {{true, "<|end|>"}, true}};
  const auto sample = chat->sample(demo, 0.25);
  auto wanted = model.words->encode(chat->opening("Q?"));
  const auto prompt = wanted.size();
  wanted = joined(wanted, model.words->encode("<answer>A</answer>"));
  wanted.push_back(model.ends.front());
  EXPECT_EQ(sample.tokens, wanted);
  ASSERT_EQ(sample.weights.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(sample.weights[i], i < prompt ? 0.25f : 1.f);
}

TEST(AModelWithoutAUsableTemplate, IsRefusedWithASentence) {
  auto model = family("smollm2", "smollm2", "<|im_end|>");
  for (const auto* source :
       {"hello", "{% for m in messages %}{{ m.role }}{% endfor %}", "{{ messages[0].content }}"}) {
    model.conversation = *chat_template::compile(source);
    const auto made = model_chat::make(model, tools, "");
    ASSERT_FALSE(made) << source;
    EXPECT_EQ(made.error().code, errc::invalid);
    EXPECT_NE(made.error().message.find("smollm2"), std::string::npos) << made.error().message;
  }
  model.conversation.reset();
  EXPECT_FALSE(model_chat::make(model, tools, ""));
}

TEST(WhatARunKeepsOfItsModel, GivesTheSameConversationAgain) {
  const test_folder folder;
  for (const auto& model : families()) {
    ASSERT_TRUE(keep_run_model(model, folder.path));
    const auto again = kept_run_model(folder.path);
    ASSERT_TRUE(again) << to_string(again.error());
    EXPECT_EQ(again->ends, model.ends);
    const auto a = *model_chat::make(model, tools, ""), b = *model_chat::make(*again, tools, "");
    EXPECT_EQ(a->opening("Who?"), b->opening("Who?"));
    EXPECT_EQ(model.words->encode(a->opening("Who?")), again->words->encode(b->opening("Who?")));
    EXPECT_EQ(a->ends(), b->ends());
  }
}

TEST(AFreeTurn, IsReadAsCallsOrAsAnAnswerWhateverStandsAround) {
  const std::vector<call_schema> known{{"search", {{"type", "object"}}}};
  const auto read = [&](std::string_view text) { return parse_free_turn(text, true, known, 2); };
  EXPECT_EQ(read("Chad.").answer, "Chad.");
  EXPECT_EQ(read("<think>hm <answer>no</answer></think>\n\nI know: <answer> Chad </answer>.").answer, "Chad");
  const auto calls =
      read("Let me see.\n<tool_call>\n{\"name\": \"search\", \"arguments\": "
           "{}}\n</tool_call>\n<tool_call>{\"name\":\"search\",\"arguments\":{\"q\":1}}</tool_call>\n");
  ASSERT_EQ(calls.calls.size(), 2u);
  EXPECT_EQ(calls.calls[1].arguments.at("q"), 1);
  EXPECT_EQ(read("<tool_call>{}").error, format_error::unclosed_call);
  EXPECT_EQ(read("<tool_call>x</tool_call>").error, format_error::not_json);
  EXPECT_EQ(read("<tool_call>{\"name\":\"open\",\"arguments\":{}}</tool_call>").error,
            format_error::unknown_tool);
  EXPECT_EQ(read("<answer>x").error, format_error::unclosed_answer);
  EXPECT_EQ(read("<answer> </answer>").error, format_error::empty_answer);
  EXPECT_EQ(read(" \n").error, format_error::nothing);
  EXPECT_EQ(read("<tool_call>{\"name\":\"search\",\"arguments\":{}}</tool_call><answer>x</answer>").error,
            format_error::call_and_answer);
  EXPECT_EQ(parse_free_turn("Chad", false, known, 2).error, format_error::cut_off);
}

} // namespace troupe

#include "gpu/files/language_model.hpp"

#include "test_texts.hpp"
#include "tests/unit/folder.hpp"
#include "tests/unit/tiny_model.hpp"
#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(ALanguageModel, IsAFolderWithEverythingThatATalkNeeds) {
  const test_folder place;
  tiny_model().save(place.path / "tiny");
  ASSERT_TRUE(
      write_file_atomically(place.path / "tiny" / "generation_config.json",
                            R"({"eos_token_id": [1, 7], "temperature": 0.6, "top_k": 20, "top_p": 0.95})"));
  const auto model = load_language_model(place.path / "tiny");
  ASSERT_TRUE(model) << to_string(model.error());
  EXPECT_EQ(model->name, "tiny");
  EXPECT_EQ(model->ends, (std::vector<token>{1, 7}));
  EXPECT_EQ(model->sampling.temperature, 0.6);
  EXPECT_EQ(model->sampling.top_k, 20);
  const auto text =
      conversation_text(*model, {.messages = {json::object{{"role", "user"}, {"content", "the cat"}}}}, 0);
  ASSERT_TRUE(text) << to_string(text.error());
  EXPECT_EQ(*text, "<|im_start|>user\nthe cat<|im_end|>\n<|im_start|>assistant\n");
  const auto ids = conversation_tokens(*model, *text);
  EXPECT_EQ(ids.front(), 0);
  EXPECT_EQ(model->words->decode(ids), *text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 1) << "the end of the turn is one token";
}

TEST(ALanguageModel, WritesCallsOfToolsAsObjects) {
  const test_folder place;
  tiny_model().save(place.path / "tiny");
  const auto model = *load_language_model(place.path / "tiny");
  conversation_input talk;
  talk.messages = *json::parse(R"([{"role":"assistant","content":"","tool_calls":[{"type":"function","id":"1",
    "function":{"name":"get","arguments":"{\"city\": \"Rome\"}"}}]}])")
                       ->if_array();
  talk.add_generation_prompt = false;
  const auto text = conversation_text(model, talk, 0);
  ASSERT_TRUE(text) << to_string(text.error());
  EXPECT_NE(text->find(R"("arguments": {"city": "Rome"})"), std::string::npos) << *text;
}

TEST(ALanguageModel, GoesOnWithTheLastMessage) {
  const test_folder place;
  tiny_model().save(place.path / "tiny");
  const auto model = *load_language_model(place.path / "tiny");
  conversation_input talk{.messages = {json::object{{"role", "assistant"}, {"content", "once upon"}}}};
  talk.continue_last = true;
  EXPECT_EQ(conversation_text(model, talk, 0).value_or(""), "<|im_start|>assistant\nonce upon");
}

TEST(ALanguageModel, OfWhichSomethingIsWrongIsRefusedByName) {
  const test_folder place;
  const auto folder = place.path / "tiny";
  const auto expect = [&](const std::string& word) {
    const auto got = load_language_model(folder);
    ASSERT_FALSE(got) << word;
    EXPECT_NE(got.error().message.find(word), std::string::npos) << got.error().message;
  };
  expect("no model at");
  tiny_model().save(folder);
  std::vector<std::string> many;
  for (int i = 0; i < 60; ++i) many.push_back("<|special " + std::to_string(i) + "|>");
  ASSERT_TRUE(tokenizer::train({}, 256 + 60, many)->save(folder / "tokenizer.json"));
  expect("do not belong together");
  std::filesystem::remove(folder / "tokenizer.json");
  expect("tokenizer.json");
  tiny_model().save(folder);
  ASSERT_TRUE(write_file_atomically(folder / "chat_template.jinja", "{% for %}"));
  expect("chat template");
  ASSERT_TRUE(write_file_atomically(folder / "tokenizer_config.json", "[1]"));
  expect("tokenizer_config.json");
}

} // namespace
} // namespace troupe

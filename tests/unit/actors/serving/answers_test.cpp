// What a server answers: OpenAI's API in vLLM's dialect.
#include "serving_fixture.hpp"

#include <gtest/gtest.h>

namespace troupe::serving {
namespace {

std::string text_of(const json::object& choice) { return std::string(choice.at("text").as_string()); }
std::string content_of(const json::object& choice) {
  return std::string(choice.at("message").as_object().at("content").as_string());
}

TEST(AServer, NamesItsModels) {
  serving_fixture f;
  const auto list = json::parse(f.get("/v1/models").body)->as_object();
  EXPECT_EQ(list.at("object").as_string(), "list");
  ASSERT_EQ(list.at("data").as_array().size(), 2u);
  EXPECT_EQ(list.at("data").at(0).at("id").as_string(), "tiny");
  EXPECT_EQ(list.at("data").at(0).at("max_model_len").as_int64(), 256);
  EXPECT_EQ(f.get("/health").status, 200);
  EXPECT_EQ(json::parse(f.get("/version").body)->at("version").as_string(), "1.2.3");
}

TEST(ACompletion, IsWhatTheEngineGenerates) {
  serving_fixture f;
  const auto got =
      f.answer("/v1/completions", completion("the cat", {{"temperature", 0}, {"return_token_ids", true}}));
  EXPECT_EQ(got.at("object").as_string(), "text_completion");
  EXPECT_TRUE(got.at("id").as_string().starts_with("cmpl-"));
  const auto& one = first_choice(got);
  EXPECT_EQ(one.at("finish_reason").as_string(), "length");
  const auto& model = f.ctx->model;
  generate_request ask;
  ask.sequence = 1;
  ask.context = model.words->encode("the cat");
  ask.max_new_tokens = 12;
  ask.stop = model.ends;
  ask.sampling.temperature = 0;
  auto engine = *make_cpu_engine(model.weights->config, {});
  engine->set_weights(model.weights, 0, kv_policy::keep);
  ASSERT_TRUE(engine->submit(ask));
  std::vector<generated> finished;
  while (finished.empty()) engine->step(finished);
  EXPECT_EQ(one.at("token_ids"), json::array(finished[0].tokens.begin(), finished[0].tokens.end()));
  EXPECT_EQ(one.at("prompt_token_ids"), json::array(ask.context.begin(), ask.context.end()));
  EXPECT_EQ(one.at("weight_versions").as_array().size(), 12u);
  const auto& usage = got.at("usage").as_object();
  EXPECT_EQ(usage.at("prompt_tokens").to_number<std::size_t>(), ask.context.size());
  EXPECT_EQ(usage.at("completion_tokens").to_number<int>(), 12);
}

TEST(ACompletion, IsTheSameForTheSameSeedWhateverElseRuns) {
  serving_fixture f;
  const auto alone = text_of(first_choice(f.answer("/v1/completions", completion("the dog"))));
  std::vector<std::jthread> others;
  for (int i = 0; i < 4; ++i)
    others.emplace_back([&f, i] {
      f.post("/v1/completions", completion("the frog sat", {{"seed", i}, {"max_tokens", 60}}));
    });
  const auto beside = text_of(first_choice(f.answer("/v1/completions", completion("the dog"))));
  for (auto& other : others) other.join();
  EXPECT_EQ(alone, beside);
  EXPECT_NE(alone, text_of(first_choice(f.answer("/v1/completions", completion("the dog", {{"seed", 4}})))));
}

TEST(ACompletion, HasManyChoicesThatShareTheirPrompt) { // SRV-4
  serving_fixture f;
  const std::string prompt = "the cat sat on the mat and the dog sat on the log, said the frog";
  const auto got = f.answer("/v1/completions", completion(prompt, {{"n", 4}}));
  ASSERT_EQ(got.at("choices").as_array().size(), 4u);
  std::set<std::string> texts;
  for (int i = 0; i < 4; ++i) {
    const auto& one = got.at("choices").as_array()[static_cast<std::size_t>(i)].as_object();
    EXPECT_EQ(one.at("index").as_int64(), i);
    texts.insert(text_of(one));
  }
  EXPECT_EQ(texts.size(), 4u);
  const auto again = f.answer("/v1/completions", completion(prompt));
  EXPECT_EQ(text_of(first_choice(again)), text_of(first_choice(got))) << "the first choice is that of n = 1";
  EXPECT_GT(again.at("usage").at("prompt_tokens_details").at("cached_tokens").as_int64(), 10);
}

TEST(ACompletion, TakesSeveralPromptsAndTokenIds) {
  serving_fixture f;
  auto body = completion("");
  body["prompt"] = json::array{"the cat", "the dog"};
  const auto got = f.answer("/v1/completions", body);
  ASSERT_EQ(got.at("choices").as_array().size(), 2u);
  const auto ids = f.ctx->model.words->encode("the cat");
  body["prompt"] = json::array(ids.begin(), ids.end());
  EXPECT_EQ(text_of(first_choice(f.answer("/v1/completions", body))), text_of(first_choice(got)));
}

TEST(ACompletion, EndsBeforeAStopStringAndSaysWhich) {
  serving_fixture f;
  const auto whole =
      text_of(first_choice(f.answer("/v1/completions", completion("the", {{"max_tokens", 60}}))));
  std::size_t at = whole.size() / 2;
  while (at < whole.size() && (whole[at] & 0x80)) ++at;
  ASSERT_LT(at, whole.size());
  const auto stop = whole.substr(at, 1);
  const auto cut = whole.substr(0, whole.find(stop));
  const auto one =
      first_choice(f.answer("/v1/completions", completion("the", {{"max_tokens", 60}, {"stop", stop}})));
  EXPECT_EQ(text_of(one), cut);
  EXPECT_EQ(one.at("finish_reason").as_string(), "stop");
  EXPECT_EQ(one.at("stop_reason").as_string(), stop);
  const auto kept =
      first_choice(f.answer("/v1/completions", completion("the", {{"max_tokens", 60},
                                                                  {"stop", json::array{"never said", stop}},
                                                                  {"include_stop_str_in_output", true}})));
  EXPECT_EQ(text_of(kept), cut + stop);
  std::string streamed;
  for (const auto& chunk :
       f.stream("/v1/completions", completion("the", {{"max_tokens", 60}, {"stop", stop}})))
    streamed += text_of(first_choice(chunk));
  EXPECT_EQ(streamed, cut);
}

TEST(ACompletion, EndsAfterAStopToken) {
  serving_fixture f;
  const auto free =
      first_choice(f.answer("/v1/completions", completion("the", {{"return_token_ids", true}})));
  const auto id = free.at("token_ids").as_array()[5].as_int64();
  const auto one = first_choice(
      f.answer("/v1/completions",
               completion("the", {{"return_token_ids", true}, {"stop_token_ids", json::array{id}}})));
  const auto& ids = one.at("token_ids").as_array();
  EXPECT_EQ(ids.back().as_int64(), id);
  EXPECT_LE(ids.size(), 6u);
  EXPECT_EQ(one.at("stop_reason").as_int64(), id);
}

TEST(ACompletion, HasLogprobsOfWhatWasSampledAndOfThePrompt) {
  serving_fixture f;
  const auto got = f.answer(
      "/v1/completions",
      completion("the cat", {{"temperature", 0}, {"logprobs", 3}, {"echo", true}, {"prompt_logprobs", 2}}));
  const auto& one = first_choice(got);
  EXPECT_TRUE(text_of(one).starts_with("the cat"));
  const auto& logprobs = one.at("logprobs").as_object();
  const auto prompt = f.ctx->model.words->encode("the cat").size();
  ASSERT_EQ(logprobs.at("tokens").as_array().size(), prompt + 12);
  EXPECT_TRUE(logprobs.at("token_logprobs").as_array()[0].is_null());
  for (std::size_t i = 1; i < prompt + 12; ++i)
    EXPECT_LT(logprobs.at("token_logprobs").as_array()[i].as_double(), 0);
  EXPECT_EQ(logprobs.at("text_offset").as_array()[0].to_number<int>(), 0);
  const auto& top = logprobs.at("top_logprobs").as_array().back().as_object();
  EXPECT_GE(top.size(), 3u);
  const auto& told = one.at("prompt_logprobs").as_array();
  ASSERT_EQ(told.size(), prompt);
  EXPECT_TRUE(told[0].is_null());
  EXPECT_GE(told[1].as_object().size(), 2u);
}

TEST(ACompletion, OfNoTokensScoresItsPrompt) {
  serving_fixture f;
  const auto got = f.answer("/v1/completions",
                            completion("the cat", {{"max_tokens", 0}, {"echo", true}, {"logprobs", 1}}));
  EXPECT_EQ(text_of(first_choice(got)), "the cat");
  EXPECT_EQ(first_choice(got).at("logprobs").at("tokens").as_array().size(),
            f.ctx->model.words->encode("the cat").size());
  EXPECT_EQ(got.at("usage").at("completion_tokens").to_number<int>(), 0);
}

TEST(ACompletion, GoesOnBehindTheEndOfATurnIfAsked) {
  serving_fixture f;
  const auto ids = [&](json::object more) {
    more["return_token_ids"] = true;
    more["max_tokens"] = 200;
    return first_choice(f.answer("/v1/completions", completion("the", more))).at("token_ids").as_array();
  };
  for (int seed = 0; seed < 40; ++seed) { // until one says <|im_end|> early
    const auto ended = ids({{"seed", seed}, {"temperature", 2.0}});
    if (ended.size() == 200) continue;
    EXPECT_EQ(ended.back().as_int64(), 1);
    EXPECT_EQ(ids({{"seed", seed}, {"temperature", 2.0}, {"ignore_eos", true}}).size(), 200u);
    const auto later = ids({{"seed", seed}, {"temperature", 2.0}, {"min_tokens", ended.size() + 1}});
    EXPECT_GT(later.size(), ended.size());
    return;
  }
  FAIL() << "no seed ended early";
}

TEST(AChat, IsTheTemplatesTextAndAnAnswer) {
  serving_fixture f;
  const auto got =
      f.answer("/v1/chat/completions",
               chat("the cat", {{"return_token_ids", true}, {"logprobs", true}, {"top_logprobs", 2}}));
  EXPECT_EQ(got.at("object").as_string(), "chat.completion");
  const auto& ids = got.at("prompt_token_ids").as_array();
  std::vector<token> prompt;
  for (const auto& id : ids) prompt.push_back(static_cast<token>(id.as_int64()));
  EXPECT_EQ(f.ctx->model.words->decode(prompt),
            "<|im_start|>user\nthe cat<|im_end|>\n<|im_start|>assistant\n");
  const auto& one = first_choice(got);
  EXPECT_EQ(one.at("message").at("role").as_string(), "assistant");
  const auto& content = one.at("logprobs").at("content").as_array();
  ASSERT_EQ(content.size(), 12u);
  EXPECT_EQ(content[0].at("top_logprobs").as_array().size(), 2u);
  EXPECT_LE(content[0].at("logprob").as_double(), 0);
}

TEST(AStream, SaysTheSameAsTheWholeAnswer) {
  serving_fixture f;
  const json::object more{{"n", 2}, {"return_token_ids", true}, {"logprobs", true}, {"max_tokens", 40}};
  const auto whole = f.answer("/v1/chat/completions", chat("the log", more));
  auto asked = chat("the log", more);
  asked["stream_options"] = json::object{{"include_usage", true}};
  const auto chunks = f.stream("/v1/chat/completions", asked);
  ASSERT_GT(chunks.size(), 10u);
  std::map<std::int64_t, std::string> text, reason;
  std::map<std::int64_t, json::array> ids;
  std::map<std::int64_t, std::size_t> logprobs;
  for (const auto& chunk : chunks) {
    EXPECT_EQ(chunk.at("object").as_string(), "chat.completion.chunk");
    for (const auto& choice : chunk.at("choices").as_array()) {
      const auto index = choice.at("index").as_int64();
      const auto& delta = choice.at("delta").as_object();
      EXPECT_EQ(delta.contains("role"), !ids.contains(index));
      if (const auto* more_text = delta.if_contains("content")) text[index] += more_text->as_string();
      for (const auto& id : choice.at("token_ids").as_array()) ids[index].push_back(id);
      logprobs[index] += choice.at("logprobs").at("content").as_array().size();
      if (!choice.at("finish_reason").is_null()) reason[index] = choice.at("finish_reason").as_string();
    }
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& one = whole.at("choices").as_array()[i].as_object();
    const auto index = static_cast<std::int64_t>(i);
    EXPECT_EQ(text[index], content_of(one));
    EXPECT_EQ(ids[index], one.at("token_ids").as_array());
    EXPECT_EQ(logprobs[index], ids[index].size());
    EXPECT_EQ(reason[index], one.at("finish_reason").as_string());
  }
  EXPECT_EQ(chunks.back().at("usage").at("completion_tokens"), whole.at("usage").at("completion_tokens"));
  asked["stream"] = true;
  EXPECT_TRUE(f.post("/v1/chat/completions", asked).body.ends_with("data: [DONE]\n\n"));
}

TEST(CallsOfTools, AreTakenOutOfAChat) {
  const std::string said = "I look.\n<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": "
                           "\"Rome\"}}\n</tool_call><|im_end|>";
  serving_fixture f({}, {}, said);
  const json::array tools{json::object{
      {"type", "function"}, {"function", json::object{{"name", "get"}, {"parameters", json::object{}}}}}};
  const auto got =
      first_choice(f.answer("/v1/chat/completions", chat("where?", {{"tools", tools}, {"max_tokens", 120}})));
  EXPECT_EQ(got.at("finish_reason").as_string(), "tool_calls");
  EXPECT_EQ(content_of(got), "I look.");
  const auto& call = got.at("message").at("tool_calls").as_array().at(0);
  EXPECT_EQ(call.at("function").at("name").as_string(), "get");
  EXPECT_EQ(call.at("function").at("arguments").as_string(), R"({"city":"Rome"})");

  std::string text, arguments;
  for (const auto& chunk :
       f.stream("/v1/chat/completions", chat("where?", {{"tools", tools}, {"max_tokens", 120}}))) {
    const auto& delta = first_choice(chunk).at("delta").as_object();
    if (const auto* content = delta.if_contains("content")) text += content->as_string();
    if (const auto* calls = delta.if_contains("tool_calls")) {
      EXPECT_EQ(calls->at(0).at("index").to_number<int>(), 0);
      arguments += calls->at(0).at("function").at("arguments").as_string();
    }
  }
  EXPECT_EQ(text, "I look.");
  EXPECT_EQ(arguments, R"({"city":"Rome"})");

  const auto untold = first_choice(f.answer("/v1/chat/completions", chat("where?", {{"max_tokens", 120}})));
  EXPECT_NE(content_of(untold).find("<tool_call>"), std::string::npos) << "without tools it is text";
  const auto off = first_choice(
      f.answer("/v1/chat/completions",
               chat("where?", {{"tools", tools}, {"tool_choice", "none"}, {"max_tokens", 120}})));
  EXPECT_NE(content_of(off).find("<tool_call>"), std::string::npos);
}

TEST(Tokens, AreMadeOfTextsAndTalksAndMadeTextAgain) {
  serving_fixture f;
  const auto plain = f.answer("/tokenize", {{"prompt", "the cat €"}, {"return_token_strs", true}});
  EXPECT_EQ(plain.at("count").to_number<std::size_t>(), plain.at("tokens").as_array().size());
  EXPECT_EQ(plain.at("max_model_len").as_int64(), 256);
  EXPECT_EQ(f.answer("/detokenize", {{"tokens", plain.at("tokens")}}).at("prompt").as_string(), "the cat €");
  auto talk = chat("hi");
  EXPECT_EQ(f.answer("/tokenize", {{"messages", talk["messages"]}}).at("tokens").as_array()[0].as_int64(), 0);
}

TEST(APrefixCache, IsNotSharedBetweenSalts) { // SRV-4
  serving_fixture f;
  const std::string prompt = "the cat sat on the mat and the dog sat on the log, said the frog";
  const auto cached = [&](json::object more) {
    return f.answer("/v1/completions", completion(prompt, more))
        .at("usage")
        .at("prompt_tokens_details")
        .at("cached_tokens")
        .as_int64();
  };
  EXPECT_EQ(cached({{"cache_salt", "a"}}), 0);
  EXPECT_EQ(cached({{"cache_salt", "b"}}), 0);
  EXPECT_GT(cached({{"cache_salt", "a"}}), 10);
}

} // namespace
} // namespace troupe::serving

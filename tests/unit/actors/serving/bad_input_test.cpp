// What a server refuses, and how.
#include "serving_fixture.hpp"

#include <gtest/gtest.h>

namespace troupe::serving {
namespace {

struct refusal {
  std::string path, body;
  int status;
  std::string param, code, word;
};

TEST(ABadRequest, GetsAnErrorInOpenAIsForm) {
  serving_fixture f;
  const std::string completions = "/v1/completions", chats = "/v1/chat/completions";
  const std::string hi = R"("messages":[{"role":"user","content":"hi"}])";
  const std::vector<refusal> all = {
      {completions, "{", 400, "", "invalid_json", "not JSON"},
      {completions, "", 400, "", "invalid_json", "not JSON"},
      {completions, "[]", 400, "", "", "expected a JSON object"},
      {completions, R"({"model":"gpt-4","prompt":"a"})", 404, "model", "model_not_found", "gpt-4"},
      {completions, R"({"model":5,"prompt":"a"})", 400, "model", "invalid_value", "a string"},
      {completions, R"({"model":"tiny"})", 400, "prompt", "invalid_value", "found nothing"},
      {completions, R"({"prompt":""})", 400, "prompt", "invalid_value", "empty"},
      {completions, R"({"prompt":[]})", 400, "prompt", "invalid_value", "empty"},
      {completions, R"({"prompt":{"a":1}})", 400, "prompt", "invalid_value", "token ids"},
      {completions, R"({"prompt":[1,2,100000]})", 400, "prompt", "invalid_value", "token ids from 0 to"},
      {completions, R"({"prompt":[1,-2]})", 400, "prompt", "invalid_value", "token ids"},
      {completions, R"({"prompt":"a","max_tokens":-1})", 400, "max_tokens", "invalid_value", "whole number"},
      {completions, R"({"prompt":"a","max_tokens":"many"})", 400, "max_tokens", "invalid_value", "\"many\""},
      {completions, R"({"prompt":"a","max_tokens":5000})", 400, "max_tokens", "context_length_exceeded",
       "256"},
      {completions, R"({"prompt":"a","stop":5})", 400, "stop", "invalid_value", "found 5"},
      {completions, R"({"prompt":"a","stop":["a",{}]})", 400, "stop", "invalid_value", "string"},
      {completions, R"({"prompt":"a","stop":""})", 400, "stop", "invalid_value", "not empty"},
      {completions, R"({"prompt":"a","stop_token_ids":["x"]})", 400, "stop_token_ids", "invalid_value",
       "token ids"},
      {completions, R"({"prompt":"a","stop_token_ids":[100000]})", 400, "stop_token_ids", "invalid_value",
       "token ids from 0 to"},
      {completions, R"({"prompt":"a","temperature":-1})", 400, "temperature", "invalid_value", "from 0"},
      {completions, R"({"prompt":"a","temperature":"hot"})", 400, "temperature", "invalid_value", "number"},
      {completions, R"({"prompt":"a","top_p":0})", 400, "top_p", "invalid_value", "number"},
      {completions, R"({"prompt":"a","n":0})", 400, "n", "invalid_value", "from 1"},
      {completions, R"({"prompt":"a","n":1000})", 400, "n", "invalid_value", "128"},
      {completions, R"({"prompt":"a","logprobs":99})", 400, "logprobs", "invalid_value", "20"},
      {completions, R"({"prompt":"a","stream":"yes"})", 400, "stream", "invalid_value", "true or false"},
      {completions, R"({"prompt":"a","stream":true,"prompt_logprobs":1})", 400, "prompt_logprobs", "",
       "stream"},
      {completions, R"({"prompt":"a","logit_bias":{"5":1}})", 400, "logit_bias", "unsupported_parameter",
       "sampled"},
      {completions, R"({"prompt":"a","frequency_penalty":0.5})", 400, "frequency_penalty",
       "unsupported_parameter", "repetition_penalty"},
      {completions, R"({"prompt":"a","best_of":3})", 400, "best_of", "unsupported_parameter", "n"},
      {completions, R"({"prompt":"a","seed_stream":3})", 400, "seed_stream", "invalid_value", "a seed"},
      {completions, R"({"prompt":"a","seed":1,"n":2,"seed_stream":3})", 400, "seed_stream", "invalid_value",
       "n: 1"},
      {chats, R"({"messages":[]})", 400, "messages", "invalid_value", "at least one"},
      {chats, R"({"messages":"hi"})", 400, "messages", "invalid_value", "array"},
      {chats, R"({"messages":["hi"]})", 400, "messages", "invalid_value", "messages[0]"},
      {chats, R"({"messages":[{"content":"hi"}]})", 400, "messages", "invalid_value", "role"},
      {chats, R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})", 400,
       "messages", "invalid_value", "type text"},
      {chats, "{" + hi + R"(,"response_format":{"type":"json_object"}})", 400, "response_format",
       "unsupported_parameter", "json_object"},
      {chats, "{" + hi + R"(,"tools":[{"type":"function"}]})", 400, "tools", "invalid_value", "tools[0]"},
      {chats, "{" + hi + R"(,"tools":[],"tool_choice":"required"})", 400, "tool_choice",
       "unsupported_parameter", "forced"},
      {chats, "{" + hi + R"(,"top_logprobs":2})", 400, "top_logprobs", "", "logprobs"},
      {chats, "{" + hi + R"(,"max_completion_tokens":999})", 400, "max_completion_tokens",
       "context_length_exceeded", "256"},
      {"/tokenize", R"({"prompt":5})", 400, "prompt", "invalid_value", "string"},
      {"/detokenize", R"({"tokens":[999999]})", 400, "tokens", "invalid_value", "token ids"},
      {"/nowhere", "{}", 404, "", "", "nothing is at"},
  };
  for (const auto& one : all) {
    const auto got = f.call("POST", one.path, one.body);
    EXPECT_EQ(got.status, one.status) << one.body << got.body;
    const auto parsed = json::parse(got.body);
    ASSERT_TRUE(parsed && parsed->is_object() && parsed->get_object().contains("error"))
        << one.body << got.body;
    const auto& why = parsed->at("error").as_object();
    EXPECT_EQ(why.at("type").as_string(), "invalid_request_error");
    EXPECT_NE(std::string(why.at("message").as_string()).find(one.word), std::string::npos)
        << one.body << got.body;
    EXPECT_EQ(why.at("param"), one.param.empty() ? json::value(nullptr) : json::value(one.param))
        << one.body << got.body;
    EXPECT_EQ(why.at("code"), one.code.empty() ? json::value(nullptr) : json::value(one.code))
        << one.body << got.body;
  }
  EXPECT_EQ(f.get("/v1/completions").status, 405);
  EXPECT_TRUE(json::parse(f.get("/v1/completions").body)->as_object().contains("error"));
  EXPECT_EQ(f.post("/v1/completions", completion("still fine")).status, 200);
}

TEST(AContextThatIsTooLong, IsRefusedWithTheSizes) {
  serving_fixture f;
  std::string text;
  for (int i = 0; i < 400; ++i) text += " the cat";
  const auto got = f.post("/v1/completions", completion(text));
  EXPECT_EQ(got.status, 400);
  const auto why = json::parse(got.body)->at("error").as_object();
  EXPECT_EQ(why.at("code").as_string(), "context_length_exceeded");
  EXPECT_NE(std::string(why.at("message").as_string()).find("takes 256 tokens"), std::string::npos)
      << got.body;
  EXPECT_NE(std::string(why.at("message").as_string())
                .find(std::to_string(f.ctx->model.words->encode(text).size())),
            std::string::npos)
      << got.body;
}

TEST(AKey, IsAskedForWhereThereIsOne) {
  serving_fixture f([](serving_context& ctx) { ctx.options.api_key = "secret"; });
  const auto with = [&](const http::header_list& headers) {
    return f.call("POST", "/v1/completions", json::dump(completion("a")), headers);
  };
  const auto none = with({});
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(json::parse(none.body)->at("error").at("code").as_string(), "invalid_api_key");
  EXPECT_EQ(json::parse(none.body)->at("error").at("type").as_string(), "authentication_error");
  EXPECT_EQ(with({{"Authorization", "Bearer secreT"}}).status, 401);
  EXPECT_EQ(with({{"Authorization", "Bearer secret2"}}).status, 401);
  EXPECT_EQ(with({{"Authorization", "Bearer "}}).status, 401);
  EXPECT_EQ(with({{"Authorization", "secret"}}).status, 401);
  EXPECT_EQ(with({{"Authorization", "Bearer secret"}}).status, 200);
  EXPECT_EQ(f.get("/v1/models").status, 401);
  EXPECT_EQ(f.get("/health").status, 200);
  EXPECT_EQ(f.get("/metrics").status, 200);
}

TEST(ControlRoutes, NeedTheAdminKey) {
  serving_fixture f;
  for (const auto* path : {"/pause", "/resume", "/update_weights_from_disk"}) {
    EXPECT_EQ(f.call("POST", path, "{}").status, 401) << path;
    EXPECT_EQ(f.call("POST", path, "{}", {{"Authorization", "Bearer toor"}}).status, 401) << path;
  }
  for (const auto* path : {"/is_paused", "/weight_info"}) EXPECT_EQ(f.get(path).status, 401) << path;
  serving_fixture without([](serving_context& ctx) { ctx.options.admin_key.clear(); });
  const auto got = without.order("POST", "/pause");
  EXPECT_EQ(got.status, 403);
  EXPECT_NE(got.body.find("--admin-key"), std::string::npos);
}

TEST(ToolsForAModelThatKnowsNone, AreRefused) {
  tiny_model simple;
  simple.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}";
  serving_fixture f({}, simple);
  const json::array tools{json::object{{"type", "function"}, {"function", json::object{{"name", "get"}}}}};
  const auto got = f.post("/v1/chat/completions", chat("hi", {{"tools", tools}}));
  EXPECT_EQ(got.status, 400);
  EXPECT_NE(got.body.find("does not know tools"), std::string::npos) << got.body;
}

TEST(AChatWithAModelThatHasNoTemplate, IsRefused) {
  tiny_model simple;
  simple.chat_template.clear();
  serving_fixture f({}, simple);
  const auto got = f.post("/v1/chat/completions", chat("hi"));
  EXPECT_EQ(got.status, 400);
  EXPECT_NE(got.body.find("no chat template"), std::string::npos) << got.body;
  EXPECT_EQ(f.post("/v1/completions", completion("hi")).status, 200);
}

} // namespace
} // namespace troupe::serving

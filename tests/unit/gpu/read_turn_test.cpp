#include "gpu/remote/read_turn.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace troupe::remote;

namespace {

generate_request asked() {
  generate_request out;
  out.sequence = 1, out.context = {1}, out.max_new_tokens = 3, out.stop = {9};
  return out;
}

json::object span(const std::string& version, int start, int end) {
  return {{"version", version}, {"start", start}, {"end", end}};
}

json::object choice_of_vllm() {
  return {{"finish_reason", "stop"},
          {"token_ids", json::array{3, 9}},
          {"weight_versions", json::array{span("7", 0, 2)}},
          {"logprobs", json::object{{"token_logprobs", json::array{-0.25, -0.5}}}}};
}

json::object answer_of_sglang() {
  return {{"output_ids", json::array{3, 9}},
          {"meta_info", json::object{{"finish_reason", json::object{{"type", "stop"}, {"matched", 9}}},
                                     {"weight_version", "7"},
                                     {"cached_tokens", 5},
                                     {"output_token_logprobs", json::array{json::array{-0.25, 3, nullptr},
                                                                           json::array{-0.5, 9, nullptr}}}}}};
}

void expect_refused(const expected<completed>& got, const std::string& words) {
  ASSERT_FALSE(got) << words;
  EXPECT_EQ(got.error().code, errc::invalid);
  EXPECT_NE(got.error().message.find(words), std::string::npos)
      << got.error().message << "\nexpected: " << words;
}

void expect_whole(const expected<completed>& got) {
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->tokens, (std::vector<token>{3, 9}));
  EXPECT_EQ(got->logprobs, (std::vector<float>{-0.25f, -0.5f}));
  EXPECT_EQ(got->labels, (std::vector<std::uint64_t>{7, 7}));
  EXPECT_EQ(got->reason, finish_reason::stop);
}

} // namespace

TEST(LabelsOfSpans, CoverEachTokenOnceOrAreRefused) {
  const auto fine = labels_of_spans(json::array{span("7", 0, 2), span("default", 2, 3)}, 3);
  ASSERT_TRUE(fine);
  EXPECT_EQ(*fine, (std::vector<std::uint64_t>{7, 7, 0})); // 0: nobody of ours called it so
  const auto refused = [](const json::array& spans, const std::string& words) {
    const auto got = labels_of_spans(spans, 3);
    ASSERT_FALSE(got) << words;
    EXPECT_NE(got.error().message.find(words), std::string::npos) << got.error().message;
  };
  refused({span("7", 0, 2)}, "weight_versions of 2 tokens, expected of 3");
  refused({span("7", 0, 1), span("8", 2, 3)}, "tokens 2 to 3 after 1 of 3");
  refused({span("7", 0, 2), span("8", 1, 3)}, "tokens 1 to 3 after 2 of 3");
  refused({span("7", 0, 4)}, "tokens 0 to 4");
  refused({span("7", 0, -1)}, "tokens 0 to -1");
  refused({json::object{{"version", 7}, {"start", 0}, {"end", 3}}}, "version");
  refused({json::object{{"version", "7"}, {"start", 0}}}, "end");
  refused({"7"}, "a span of weight_versions that is string");
}

TEST(ACompletionOfVllm, IsReadWholeOrRefusedByWhatIsFoundInIt) { // REM-4
  const auto read = [](json::object choice) {
    return vllm_dialect().read_completion(json::object{{"choices", json::array{std::move(choice)}}}, asked(),
                                          10);
  };
  const auto with = [](const char* key, json::value what) {
    auto out = choice_of_vllm();
    out[key] = std::move(what);
    return out;
  };
  expect_whole(read(choice_of_vllm()));
  expect_refused(read(with("token_ids", nullptr)), "\"token_ids\" is null in the choice, expected an array");
  expect_refused(read(with("logprobs", nullptr)), "\"logprobs\" is null in the choice, expected an object");
  expect_refused(read(with("weight_versions", nullptr)), "return_weight_versions, as vLLM 0.33.0 has it");
  expect_refused(read(with("weight_versions", json::array{span("7", 0, 1)})), "of 1 tokens, expected of 2");
  expect_refused(read(with("token_ids", json::array{10, 9})), "the token 10, expected 0 to 9");
  expect_refused(read(with("token_ids", json::array{9, 3})), "ends with \"stop\" after the token 3");
  for (double wrong : {3.5, -std::numeric_limits<double>::infinity()})
    expect_refused(read(with("logprobs", json::object{{"token_logprobs", json::array{wrong, -0.5}}})),
                   "the logprob");
  expect_refused(read(with("finish_reason", "repetition")), "the finish_reason \"repetition\"");
  const auto paused =
      read({{"finish_reason", "abort"}, {"token_ids", json::array{3}}, {"logprobs", nullptr}});
  ASSERT_TRUE(paused) << paused.error().message;
  EXPECT_FALSE(paused->reason);
}

TEST(AnAnswerOfSglang, IsReadWholeOrRefusedByWhatIsFoundInIt) { // REM-4
  const auto read = [](const json::object& answer) {
    return sglang_dialect().read_completion(answer, asked(), 10);
  };
  const auto with = [](const char* key, json::value what) {
    auto out = answer_of_sglang();
    out.at("meta_info").as_object()[key] = std::move(what);
    return out;
  };
  const auto fine = read(answer_of_sglang());
  expect_whole(fine);
  EXPECT_EQ(fine->cached_tokens, 5);
  expect_whole(read(with("weight_versions", json::array{span("7", 0, 2)})));
  // spans go before the label that it has when it answers
  EXPECT_EQ(read(with("weight_versions", json::array{span("6", 0, 1), span("7", 1, 2)}))->labels,
            (std::vector<std::uint64_t>{6, 7}));
  EXPECT_EQ(read(with("weight_version", "default"))->labels, (std::vector<std::uint64_t>{0, 0}));
  expect_refused(read(with("weight_version", nullptr)), "\"weight_version\" is null in meta_info");
  expect_refused(read(with("output_token_logprobs", nullptr)),
                 "\"output_token_logprobs\" is null in meta_info");
  expect_refused(read(with("output_token_logprobs", json::array{json::array{-0.25, 3, nullptr}})),
                 "2 token ids, 1 logprobs");
  expect_refused(read(with("output_token_logprobs",
                           json::array{json::array{-0.25, 3, nullptr}, json::array{-0.5, 8, nullptr}})),
                 "the logprob of the token 8, expected of 9");
  expect_refused(read(with("output_token_logprobs", json::array{-0.25, -0.5})),
                 "expected [logprob, token, text]");
  expect_refused(read(with("finish_reason", "stop")), "finish_reason");
  auto without = answer_of_sglang();
  without.erase("output_ids");
  expect_refused(read(without), "there is no \"output_ids\"");
  EXPECT_FALSE(read(with("finish_reason", json::object{{"type", "abort"}}))->reason);
}

#include "gpu/files/gguf_model.hpp"
#include "gpu/torch/find_device.hpp"
#include "tests/unit/gpu/smollm2_cases.hpp"
#include "torch_engine_support.hpp"
#include <cstdlib>

/// The engine on LibTorch with real weights, against what transformers made of them.
namespace troupe {
namespace {

void expect_what_transformers_says(const std::string& device, std::size_t prompts, std::size_t tokens) {
  const auto* place = std::getenv("TROUPE_SMOLLM2");
  if (!place)
    GTEST_SKIP() << "TROUPE_SMOLLM2 names no file (./troupe test fetches it where there is a network)";
  if (const auto found = torch_detail::find_device(device); !found) GTEST_SKIP() << found.error().message;
  const auto weights =
      std::make_shared<const model_weights>(load_gguf_model(place, tensor_form::as_stored)->weights);
  ASSERT_FALSE(weights->stored.empty());
  auto all = smollm2_cases();
  ASSERT_GE(all.size(), prompts);
  all.resize(prompts);
  const auto engine = torch_engine(weights, {.max_kv_tokens = 8192, .threads = 2}, {.device = device});
  std::vector<generate_request> requests;
  for (std::size_t i = 0; i < all.size(); ++i) {
    requests.push_back(ask(i, all[i].prompt, static_cast<int>(tokens)));
    requests.back().sampling.temperature = 0;
    requests.back().prompt_logprobs = 0;
  }
  double worst = 0;
  for (auto& [i, got] : answers(*engine, requests)) {
    const auto& wanted = all[i];
    EXPECT_TRUE(std::equal(got.tokens.begin(), got.tokens.end(), wanted.greedy.begin())) << "prompt " << i;
    for (std::size_t t = 0; t < wanted.prompt.size(); ++t)
      worst = std::max(worst, std::abs(got.prompt_logprobs[t] - wanted.logprobs[t]));
  }
  testing::Test::RecordProperty("worst", std::to_string(worst));
  EXPECT_LE(worst, 1e-4);
}

} // namespace

TEST(SmolLM2OnLibTorch, GeneratesWhatTransformersDoes) { expect_what_transformers_says("plain", 6, 16); }

TEST(SmolLM2OnCuda, GeneratesWhatTransformersDoes) { expect_what_transformers_says("cuda", 24, 48); }

} // namespace troupe

#pragma once

#include "gpu/batching_engine.hpp"
#include "gpu/torch/torch_backend.hpp"
#include "tests/unit/gpu/engine_support.hpp"
#include <algorithm>

namespace troupe {

/// How far logprobs of float32 on LibTorch may be from those of the CPU's kernels.
inline constexpr double torch_bound = 1e-4;

inline std::unique_ptr<engine_core> torch_engine(const weights_ptr& weights, const engine_limits& limits = {},
                                                 torch_detail::torch_backend_options options = {
                                                     .device = "plain"}) {
  auto backend = torch_detail::make_torch_backend(weights->config, limits, options);
  EXPECT_TRUE(backend) << to_string(backend.error());
  auto out = std::make_unique<batching_engine>(weights->config, limits, std::move(*backend),
                                               kernels_for(best_instruction_set()));
  out->set_weights(weights, 1, kv_policy::keep);
  return out;
}

/// Recordings for a device that has none: what was recorded runs again.
inline torch_detail::torch_backend_options repeating(int& recordings) {
  struct again final : torch_detail::device_graph {
    explicit again(std::function<void()> w) : work(std::move(w)) {}
    void replay() override { work(); }
    std::function<void()> work;
  };
  return {.device = "plain", .record = [&recordings](const std::function<void()>& work) {
            ++recordings;
            return std::make_unique<again>(work);
          }};
}

inline void expect_close(const std::vector<float>& got, const std::vector<float>& wanted,
                         const std::string& what) {
  ASSERT_EQ(got.size(), wanted.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], torch_bound) << what << ' ' << i;
}

inline void expect_close(const generated& got, const generated& wanted) {
  const auto what = "sequence " + std::to_string(wanted.sequence);
  EXPECT_EQ(got.tokens, wanted.tokens) << what;
  EXPECT_EQ(got.reason, wanted.reason) << what;
  EXPECT_EQ(got.versions, wanted.versions) << what;
  expect_close(got.logprobs, wanted.logprobs, what);
  expect_close(got.prompt_logprobs, wanted.prompt_logprobs, what + ", prompt");
}

/// Prompts of all lengths, some of them a group, some greedy; the logprobs of a prompt here and there.
inline std::vector<generate_request> requests_for(const model_config& config, int new_tokens = 40) {
  random_stream random(7);
  std::vector<generate_request> out;
  const auto common = random_tokens(random, 37, config.vocab_size);
  const auto room = static_cast<std::uint64_t>(config.max_position_embeddings - new_tokens - 8);
  for (std::uint64_t id = 1; id <= 10; ++id) {
    auto request =
        ask(id, random_tokens(random, 1 + random.below(std::min<std::uint64_t>(70, room)), config.vocab_size),
            new_tokens - static_cast<int>(id));
    if (id % 3 == 0) request.group = 900, request.context = common;
    if (id % 2 == 1) request.sampling.temperature = 0;
    if (id % 4 == 0) request.prompt_logprobs = 0;
    out.push_back(std::move(request));
  }
  return out;
}

inline std::map<std::uint64_t, generated> answers(engine_core& engine,
                                                  const std::vector<generate_request>& requests) {
  for (auto& request : requests) EXPECT_TRUE(engine.submit(request));
  return run_all(engine);
}

inline void expect_same_as_the_cpus(const weights_ptr& weights, const engine_limits& limits,
                                    const torch_detail::torch_backend_options& options = {
                                        .device = "plain"}) {
  const auto requests = requests_for(weights->config);
  const auto wanted = alone(weights, requests);
  const auto engine = torch_engine(weights, limits, options);
  const auto got = answers(*engine, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) expect_close(got.at(requests[i].sequence), wanted[i]);
}

} // namespace troupe

#include "gpu/sampler.hpp"
#include "runtime/base/random.hpp"
#include <cmath>
#include <gtest/gtest.h>

namespace troupe {
namespace {

std::vector<float> with_padding(std::vector<float> logits) {
  logits.resize(static_cast<std::size_t>(padded(static_cast<int>(logits.size()))), -INFINITY);
  return logits;
}

ranked_token draw(const std::vector<float>& logits, const sampling_params& how, double u) {
  sampler_space space;
  return sample(with_padding(logits).data(), static_cast<int>(logits.size()), how, u,
                kernels_for(best_instruction_set()), space);
}

/// Draws on a fine grid of uniforms: the share of each token is its probability, but for the grid's spacing.
void expect_distribution(const std::vector<float>& logits, const sampling_params& how,
                         const std::vector<double>& wanted) {
  const int n = 100'000;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < n; ++i) {
    const auto [id, logprob] = draw(logits, how, (i + 0.5) / n);
    ++counts[id];
    ASSERT_NEAR(logprob, std::log(wanted[id]), 2e-6);
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(counts[i] / double{n}, wanted[i], 2.0 / n);
}

TEST(Sampling, FollowsTheDistributionOfItsParametersAndRecordsItsLogprobs) { // SAM-1, SAM-2
  const std::vector<float> logits{2, 1, 0};
  expect_distribution(logits, {.temperature = 1.0}, {0.6652409558, 0.2447284711, 0.0900305732});
  expect_distribution(logits, {.temperature = 0.7}, {0.7709602967, 0.1847614342, 0.0442782692});
  expect_distribution(logits, {.temperature = 0.7, .top_p = 0.9}, {0.8066786302, 0.1933213698, 0});
  expect_distribution(logits, {.temperature = 1.0, .top_k = 1}, {1, 0, 0});
  expect_distribution(logits, {.temperature = 1.0, .top_p = 0.5, .top_k = 2}, {1, 0, 0});
  expect_distribution({1, 2, 1}, {.temperature = 1.0, .top_k = 2},
                      {0.2689414214, 0.7310585786, 0}); // equal ones rank by id
}

TEST(GreedySampling, TakesTheLikeliestAndRecordsTheUntemperedLogprob) {
  const auto [id, logprob] = draw({0, 2, 1, 2}, {.temperature = 0}, 0.99);
  EXPECT_EQ(id, 1); // the first of two equal ones
  EXPECT_NEAR(logprob, 2 - std::log(1 + 2 * std::exp(2.0) + std::exp(1.0)), 1e-6);
}

TEST(Sampling, OverALargeVocabularyMatchesAPlainInversion) { // SAM-3
  random_stream random(21);
  std::vector<float> logits(1003);
  for (float& l : logits) l = static_cast<float>(3 * random.normal());
  for (int round = 0; round < 2000; ++round) {
    const double u = random.uniform(), temperature = round % 2 ? 1.0 : 0.6;
    double total = 0, before = 0;
    for (float l : logits) total += std::exp(l / temperature);
    const auto [id, logprob] = draw(logits, {.temperature = temperature}, u);
    for (int i = 0; i < id; ++i) before += std::exp(logits[i] / temperature);
    const double own = std::exp(logits[id] / temperature);
    EXPECT_LE(before / total, u + 1e-6);
    EXPECT_GE((before + own) / total, u - 1e-6);
    EXPECT_NEAR(logprob, std::log(own / total), 3e-6);
  }
}

TEST(Sampling, NeverDrawsBeyondTheLastTokenWithAChance) {
  std::vector<float> logits(200, -1000.0f); // whole blocks without a chance, on both sides
  logits[100] = 1;
  for (double u : {1e-12, 0.5, 1 - 1e-16})
    for (double top_p : {1.0, 0.3}) EXPECT_EQ(draw(logits, {.top_p = top_p}, u).id, 100);
}

} // namespace
} // namespace troupe

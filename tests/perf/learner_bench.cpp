// What the learner takes with the quickstart's model: tokens per second of forward, backward and AdamW.
// Supervised steps have 16 sequences of about 80 tokens; RL steps (K2, two minibatches) have 128 of about
// 120, 35 % sampled.
#include "gpu/learner.hpp"
#include "runtime/base/random.hpp"
#include <benchmark/benchmark.h>

namespace troupe {
namespace {

const model_config quickstart{.previous_token_map = true};

std::vector<token> random_tokens(random_stream& random, std::uint64_t about) {
  std::vector<token> out(about - about / 4 + random.below(about / 2));
  for (token& t : out) t = static_cast<token>(random.below(1024));
  return out;
}

std::vector<sft_sample> supervised_batch(random_stream& random) {
  std::vector<sft_sample> out;
  for (int i = 0; i < 16; ++i) {
    sft_sample s{.tokens = random_tokens(random, 80), .weights = {}};
    for (std::size_t t = 0; t < s.tokens.size(); ++t) s.weights.push_back(random.chance(0.5) ? 1.f : 0.05f);
    out.push_back(std::move(s));
  }
  return out;
}

std::vector<rl_sample> policy_batch(random_stream& random) {
  std::vector<rl_sample> out;
  for (int i = 0; i < 128; ++i) {
    rl_sample s{.id = std::to_string(i), .tokens = random_tokens(random, 120)};
    const auto n = s.tokens.size();
    s.mask.resize(n), s.behaviour_logprobs.resize(n), s.versions.resize(n), s.turn_weights.assign(n, 1.f);
    for (std::size_t t = 1; t < n; ++t) {
      s.mask[t] = t + 1 == n || random.chance(0.35);
      if (s.mask[t]) s.behaviour_logprobs[t] = -6.9f;
    }
    s.reward = random.uniform(), s.baseline = 0.5;
    out.push_back(std::move(s));
  }
  return out;
}

/// Steps on fresh batches of changing lengths, as in a run. `tokens` counts by the learner's own clock.
template <class Step>
void measure(benchmark::State& state, Step step) {
  learner_options options;
  options.threads = static_cast<int>(state.range(0));
  auto made = make_learner(initial_weights(quickstart, 1), options);
  if (!made) return state.SkipWithError(to_string(made.error()).c_str());
  random_stream random(7);
  std::int64_t tokens = 0;
  double loss = 0;
  for (int i = 0; i < 3; ++i) (void)step(**made, random); // builds oneDNN's kernels, fills the pool
  for (auto _ : state) {
    const auto stats = step(**made, random);
    if (!stats) return state.SkipWithError(to_string(stats.error()).c_str());
    tokens += stats->tokens, loss = stats->loss;
    state.SetIterationTime(stats->seconds);
  }
  benchmark::DoNotOptimize(loss);
  state.counters["tokens"] = {static_cast<double>(tokens), benchmark::Counter::kIsRate};
}

void supervised(benchmark::State& state) {
  measure(state, [](learner& l, random_stream& r) { return l.sft_step(supervised_batch(r), 1e-4); });
}
void reinforcement(benchmark::State& state) {
  measure(state, [](learner& l, random_stream& r) { return l.rl_step(policy_batch(r), {}, {}, 0); });
}
BENCHMARK(supervised)->Arg(1)->Arg(2)->UseManualTime()->MinTime(3);
BENCHMARK(reinforcement)->Arg(1)->Arg(2)->UseManualTime()->MinTime(3);

} // namespace
} // namespace troupe

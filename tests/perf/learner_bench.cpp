// What the learner takes on this machine: tokens per second of supervised and reinforcement-learning steps, on one and two
// threads. Forward, backward and AdamW; RL with K2 in two minibatches, 35 % of the tokens sampled.
//   learner_bench [seconds per figure]
#include "gpu/learner.hpp"
#include "runtime/base/random.hpp"

#include <cstdio>
#include <cstdlib>

using namespace troupe;

namespace {

std::vector<token> random_tokens(random_stream& random, std::uint64_t around, int vocabulary) {
  std::vector<token> out(around - around / 4 + random.below(around / 2));
  for (token& t : out) t = static_cast<token>(random.below(static_cast<std::uint64_t>(vocabulary)));
  return out;
}

std::vector<sft_sample> supervised_batch(random_stream& random, int samples, int vocabulary) {
  std::vector<sft_sample> out;
  for (int i = 0; i < samples; ++i) {
    auto tokens = random_tokens(random, 80, vocabulary);
    std::vector<float> weights(tokens.size());
    for (float& w : weights) w = random.chance(0.5) ? 1.f : 0.05f;
    out.push_back({std::move(tokens), std::move(weights)});
  }
  return out;
}

std::vector<rl_sample> policy_batch(random_stream& random, int samples, int vocabulary) {
  std::vector<rl_sample> out;
  for (int i = 0; i < samples; ++i) {
    rl_sample s{.id = std::to_string(i), .tokens = random_tokens(random, 120, vocabulary)};
    const auto n = s.tokens.size();
    s.mask.resize(n), s.behaviour_logprobs.resize(n), s.versions.resize(n), s.turn_weights.assign(n, 1.f);
    for (std::size_t t = 1; t < n; ++t)
      if (random.chance(0.35)) s.mask[t] = 1, s.behaviour_logprobs[t] = -6.9f;
    s.mask[n - 1] = 1, s.behaviour_logprobs[n - 1] = -6.9f;
    s.reward = random.uniform(), s.baseline = 0.5;
    out.push_back(std::move(s));
  }
  return out;
}

template <class Step>
double tokens_per_second(double budget, Step step) {
  std::int64_t tokens = 0;
  double spent = 0;
  for (int round = 0; spent < budget; ++round) {
    const auto stats = step();
    if (!stats) {
      std::fprintf(stderr, "%s\n", to_string(stats.error()).c_str());
      std::exit(1);
    }
    if (round < 2) continue; // the first rounds build kernels and fill the pool
    tokens += stats->tokens, spent += stats->seconds;
  }
  return static_cast<double>(tokens) / spent;
}

} // namespace

int main(int argc, char** argv) {
  const double budget = argc > 1 ? std::atof(argv[1]) : 10;
  model_config config;
  config.previous_token_map = true;
  const auto weights = initial_weights(config, 1);
  std::printf("%-10s %8s %14s\n", "step", "threads", "tokens/s");
  for (int threads : {1, 2}) {
    auto made = make_learner(weights, {.optimizer = {}, .threads = threads, .max_tokens_per_pass = 4096});
    if (!made) {
      std::fprintf(stderr, "%s\n", to_string(made.error()).c_str());
      return 1;
    }
    auto& learner = **made;
    random_stream random(7);
    std::printf("%-10s %8d %14.0f\n", "sft", threads, tokens_per_second(budget, [&] {
                  return learner.sft_step(supervised_batch(random, 16, config.vocab_size), 1e-4);
                }));
    std::printf("%-10s %8d %14.0f\n", "rl", threads, tokens_per_second(budget, [&] {
                  return learner.rl_step(policy_batch(random, 128, config.vocab_size), {}, {}, 0);
                }));
    std::fflush(stdout);
  }
  return 0;
}

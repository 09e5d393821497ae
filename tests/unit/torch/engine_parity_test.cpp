#include "gpu/engine_core.hpp"
#include "gpu/files/hf_model.hpp"

#include "small_model.hpp"
#include <cmath>

// The engine samples, the learner reads the same tokens: their logprobs must be those of one policy.
namespace troupe {

namespace {

constexpr double bound = 5e-5;

double largest_gap(const model_weights& weights, double temperature, int new_tokens) {
  const auto& config = weights.config;
  auto engine = make_cpu_engine(config, {});
  EXPECT_TRUE(engine) << to_string(engine.error());
  (*engine)->set_weights(std::make_shared<model_weights>(weights), 1, kv_policy::recompute);
  random_stream random(5);
  std::vector<std::vector<token>> contexts;
  for (std::uint64_t i = 0; i < 12; ++i) {
    contexts.push_back(random_tokens(random, 1 + random.below(40), config.vocab_size));
    generate_request r;
    r.sequence = i + 1, r.context = contexts.back(), r.max_new_tokens = new_tokens;
    r.sampling.temperature = temperature, r.seed = 1000 + i;
    EXPECT_TRUE((*engine)->submit(r));
  }
  std::vector<generated> done;
  while ((*engine)->step(done)) {
  }
  EXPECT_EQ(done.size(), contexts.size());
  const auto learner = small_learner(weights);
  double gap = 0;
  for (const auto& g : done) {
    auto tokens = contexts[g.sequence - 1];
    const auto prompt = tokens.size();
    tokens.insert(tokens.end(), g.tokens.begin(), g.tokens.end());
    const auto logprobs = learner->logprobs(tokens, temperature);
    EXPECT_TRUE(logprobs);
    for (std::size_t i = 0; i < g.tokens.size(); ++i)
      gap = std::max(
          gap, std::abs(static_cast<double>((*logprobs)[prompt + i]) - static_cast<double>(g.logprobs[i])));
  }
  testing::Test::RecordProperty("largest_gap_at_" + std::to_string(temperature), std::to_string(gap));
  return gap;
}

} // namespace

TEST(EngineAndLearner, AgreeOnTheQuickstartsShape) {
  model_config config;
  config.previous_token_map = true;
  for (double temperature : {1.0, 0.7})
    EXPECT_LE(largest_gap(initial_weights(config, 1), temperature, 60), bound);
  const auto trained = random_weights(config, 3, 0.08); // sharper than fresh weights
  EXPECT_LE(largest_gap(trained, 1.0, 60), bound);
}

TEST(EngineAndLearner,
     AgreeOnEveryFamilyThatTransformersWrites) { // Llama 2, 3 and linear, Mistral, Qwen2, 2.5 and 3
  int seen = 0;
  for (const auto& folder :
       std::filesystem::directory_iterator(TROUPE_SOURCE_DIR "/tests/unit/gpu/data/models")) {
    const auto weights = load_hf_model(folder.path());
    ASSERT_TRUE(weights) << to_string(weights.error());
    for (double temperature : {1.0, 0.7})
      EXPECT_LE(largest_gap(*weights, temperature, 60), bound) << folder.path();
    ++seen;
  }
  EXPECT_EQ(seen, 7);
}

/// What an engine samples at temperature 1, as the learner takes it.
std::vector<rl_sample> sampled(const model_weights& weights, std::uint64_t version) {
  auto engine = make_cpu_engine(weights.config, {.max_sequences = 5});
  EXPECT_TRUE(engine);
  (*engine)->set_weights(std::make_shared<model_weights>(weights), version, kv_policy::recompute);
  random_stream random(8);
  std::vector<rl_sample> out;
  for (std::uint64_t i = 0; i < 8; ++i) {
    auto& s = out.emplace_back();
    s.id = std::to_string(i),
    s.tokens = random_tokens(random, 1 + random.below(40), weights.config.vocab_size);
    generate_request r;
    r.sequence = i + 1, r.context = s.tokens, r.max_new_tokens = 40, r.seed = i;
    EXPECT_TRUE((*engine)->submit(r));
  }
  std::vector<generated> done;
  while ((*engine)->step(done)) {
  }
  for (const auto& g : done) {
    auto& s = out[g.sequence - 1];
    const auto prompt = s.tokens.size();
    s.tokens.insert(s.tokens.end(), g.tokens.begin(), g.tokens.end());
    s.mask.resize(prompt, 0), s.mask.resize(s.tokens.size(), 1);
    s.behaviour_logprobs.resize(prompt, 0);
    s.behaviour_logprobs.insert(s.behaviour_logprobs.end(), g.logprobs.begin(), g.logprobs.end());
    s.versions.assign(s.tokens.size(), version), s.turn_weights.assign(s.tokens.size(), 1);
    s.reward = g.sequence % 2, s.baseline = 0.5;
  }
  return out;
}

TEST(ALearnerWithTheEnginesOwnForwardPass, HasItsLogprobsBitForBit) {
  for (const auto& folder :
       std::filesystem::directory_iterator(TROUPE_SOURCE_DIR "/tests/unit/gpu/data/models")) {
    const auto weights = *load_hf_model(folder.path());
    const auto batch = sampled(weights, 3);
    for (const bool exact : {false, true}) {
      auto made = torch_detail::make_torch_learner(weights, {.exact_logprobs = exact});
      ASSERT_TRUE(made) << to_string(made.error());
      const auto stats = (*made)->rl_step(batch, {}, {.loss = rl_loss::ppo, .minibatches = 1}, 3);
      ASSERT_TRUE(stats) << to_string(stats.error());
      EXPECT_EQ(stats->max_logprob_gap == 0, exact) << folder.path();
      if (exact) {
        EXPECT_EQ(stats->kl, 0) << folder.path();
      }
      EXPECT_GT(stats->grad_norm, 1e-4); // the gradient is there all the same
    }
  }
}

TEST(EngineAndLearner, AgreeOnALlamaWithSharedKeysAndItsOwnHead) {
  model_config config;
  config.vocab_size = 300, config.hidden_size = 48, config.num_attention_heads = 6,
  config.num_key_value_heads = 2;
  config.head_dim = 8, config.intermediate_size = 100, config.tie_word_embeddings = false,
  config.rope_theta = 100000;
  for (double temperature : {1.0, 0.5})
    EXPECT_LE(largest_gap(random_weights(config, 7), temperature, 40), bound);
}

} // namespace troupe

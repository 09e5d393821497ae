#include "small_model.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <algorithm>
#include <cmath>

// Adapters, Muon, layers computed again, bfloat16, plain operators, and what a proximal policy costs.
namespace troupe {

namespace {

using torch_detail::torch_learner;

const std::uint64_t version = 4;

std::unique_ptr<learner> learner_with(const model_weights& start, const learner_options& options) {
  auto made = torch_detail::make_torch_learner(start, options);
  EXPECT_TRUE(made) << to_string(made.error());
  return std::move(*made);
}

std::string refusal(const model_weights& start, const learner_options& options) {
  const auto made = torch_detail::make_torch_learner(start, options);
  return made ? "" : made.error().message;
}

at::Tensor matrix(const host_tensor& t) {
  return at::from_blob(const_cast<float*>(t.data.data()), {t.shape[0], t.shape[1]}, at::kFloat).clone();
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

model_config qwen_like() {
  auto c = small_config();
  c.previous_token_map = false, c.tie_word_embeddings = false;
  c.family = model_family::qwen2, c.qkv_bias = true;
  return c;
}

} // namespace

TEST(Adapters, LeaveAModelAsItIsUntilTheyAreTrained) {
  const auto start = random_weights(qwen_like(), 1);
  const auto l = learner_with(start, {.adapters = {.rank = 3}});
  expect_same_bits(start, *l->snapshot());
  EXPECT_EQ(l->adapters().size(), 2u * 7 * 2);
}

TEST(Adapters, ChangeTheirTargetsAloneAndOnlyByTheirRank) {
  const auto start = random_weights(qwen_like(), 2);
  const auto l =
      learner_with(start, {.threads = 2, .adapters = {.rank = 2, .targets = {"q_proj", "down_proj"}}});
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(l->sft_step(supervised_batch(i, 8, start.config), 1e-2));
  const auto after = l->snapshot();
  for (const auto& [name, tensor] : start.tensors) {
    const bool target = name.find("q_proj.weight") != name.npos || name.find("down_proj") != name.npos;
    EXPECT_EQ(tensor.data != after->tensors.at(name).data, target) << name;
    if (!target) continue;
    const auto change = matrix(after->tensors.at(name)) - matrix(tensor);
    // A matrix of rank 2: what its best two directions leave is rounding.
    auto rest = change.to(at::kDouble);
    for (int i = 0; i < 2; ++i) { // power iteration
      auto v = rest.t().mm(rest).mm(at::eye(rest.size(1), rest.options()).narrow(1, 0, 1) + 0.3);
      for (int k = 0; k < 200; ++k) v = rest.t().mm(rest.mm(v)), v = v / (v.norm() + 1e-300);
      rest = rest - rest.mm(v).mm(v.t());
    }
    EXPECT_LT(rest.norm().item<double>(), 1e-3 * change.norm().item<double>()) << name;
  }
}

TEST(Adapters, HaveTheGradientThatTheWholeMatrixGivesThem) { // dB = s dW A^T, dA = s B^T dW
  const auto start = random_weights(qwen_like(), 3);
  const learner_options options{.adapters = {.rank = 3, .alpha = 6}};
  const auto adapted = learner_with(start, options);
  for (std::uint64_t i = 0; i < 3; ++i)
    ASSERT_TRUE(adapted->sft_step(supervised_batch(i, 8, start.config), 2e-2));
  const auto merged = *adapted->snapshot();
  const auto whole = learner_with(merged, {});
  const auto batch = supervised_batch(9, 8, start.config);
  const auto gradients = [&](learner& of, const torch_detail::flat_layout& layout) {
    auto& l = dynamic_cast<torch_learner&>(of);
    std::vector<torch_learner::pass> passes;
    l.add_sft_passes(batch, 40, false, passes);
    EXPECT_TRUE(l.differentiate(passes));
    std::map<std::string, host_tensor> out;
    torch_detail::read_flat(layout, l.gradient(), "", out);
    return out;
  };
  const auto low = gradients(*adapted, torch_detail::make_adapter_layout(start.config, options.adapters));
  const auto dense = gradients(*whole, torch_detail::make_layout(start.config));
  const auto now = adapted->adapters();
  for (const auto& [name, tensor] : low) {
    const auto base = name.substr(0, name.find(".lora_"));
    const auto dw = matrix(dense.at(base + ".weight")), a = matrix(now.at(base + ".lora_A.weight")),
               b = matrix(now.at(base + ".lora_B.weight"));
    const auto expected = (name.ends_with("lora_A.weight") ? b.t().mm(dw) : dw.mm(a.t())) * 2.0;
    EXPECT_LT((matrix(tensor) - expected).norm().item<double>(), 1e-4 * expected.norm().item<double>() + 1e-7)
        << name;
  }
}

TEST(Adapters, ComputeWhatTheirMergedWeightsCompute) {
  for (const auto& config : {qwen_like(), small_config()}) {
    const auto start = random_weights(config, 4);
    const auto l = learner_with(start, {.adapters = {.rank = 4}});
    for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(l->sft_step(supervised_batch(i, 8, config), 2e-2));
    random_stream random(1);
    const auto tokens = random_tokens(random, 50, config.vocab_size);
    EXPECT_LT(
        largest_difference(*l->logprobs(tokens, 1.0), *small_learner(*l->snapshot())->logprobs(tokens, 1.0)),
        5e-5);
    EXPECT_GT(largest_difference(*l->logprobs(tokens, 1.0), *small_learner(start)->logprobs(tokens, 1.0)),
              1e-2);
  }
}

TEST(Adapters, ContinueFromASavedStateWithTheSameBits) {
  const auto start = random_weights(qwen_like(), 5);
  const learner_options options{.adapters = {.rank = 3}};
  const auto step = [&](learner& l, std::uint64_t i) {
    ASSERT_TRUE(l.sft_step(supervised_batch(i, 6, start.config), 1e-2));
  };
  const auto a = learner_with(start, options);
  step(*a, 1), step(*a, 2);
  const auto weights = a->snapshot();
  const auto state = a->optimizer_state();
  step(*a, 3);
  const auto b = learner_with(start, options);
  ASSERT_TRUE(b->restore(*weights, &state));
  expect_same_bits(*weights, *b->snapshot());
  step(*b, 3);
  expect_same_bits(*a->snapshot(), *b->snapshot());

  const auto other = learner_with(random_weights(qwen_like(), 6), options); // another base
  const auto refused = other->restore(*weights, &state);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("another model"), std::string::npos);
  ASSERT_TRUE(other->restore(*weights, nullptr)); // as a new start
  expect_same_bits(*weights, *other->snapshot());
}

TEST(Adapters, AreRefusedWhereTheyMakeNoSense) {
  const auto start = random_weights(qwen_like(), 7);
  EXPECT_NE(refusal(start, {.adapters = {.rank = 13}}).find("expected 1 to 12"), std::string::npos);
  EXPECT_NE(refusal(start, {.adapters = {.rank = -1}}).find("rank is -1"), std::string::npos);
  EXPECT_NE(refusal(start, {.adapters = {.rank = 2, .targets = {"w_proj"}}}).find("w_proj"),
            std::string::npos);
  EXPECT_NE(refusal(start, {.adapters = {.rank = 2, .alpha = 0}}).find("alpha"), std::string::npos);
  EXPECT_NE(
      refusal(start, {.optimizer = {.kind = optimizer_kind::muon}, .adapters = {.rank = 2}}).find("Muon"),
      std::string::npos);
}

TEST(Muon, MakesAMatrixNearlyOrthogonal) {
  random_stream random(1);
  for (const auto& [rows, columns] : {std::pair{12, 30}, {30, 12}, {16, 16}}) {
    std::vector<float> data(static_cast<std::size_t>(rows * columns));
    for (float& x : data) x = static_cast<float>(random.normal());
    const auto x = torch_detail::orthogonalised(at::from_blob(data.data(), {rows, columns}, at::kFloat));
    const auto gram = rows < columns ? x.mm(x.t()) : x.t().mm(x);
    for (std::int64_t i = 0; i < gram.size(0); ++i) { // its coefficients lead singular values to 0.7 .. 1.2
      EXPECT_GT(gram[i][i].item<float>(), 0.4f);
      EXPECT_LT(gram[i][i].item<float>(), 1.5f);
    }
  }
}

TEST(Muon, StepsItsMatricesByTheirScaleAndLeavesTheRestToAdam) {
  const auto start = random_weights(qwen_like(), 8);
  const auto muon = learner_with(start, {.optimizer = {.kind = optimizer_kind::muon}});
  const auto adam = learner_with(start, {});
  const auto batch = supervised_batch(1, 8, start.config);
  ASSERT_TRUE(muon->sft_step(batch, 1e-2));
  ASSERT_TRUE(adam->sft_step(batch, 1e-2));
  const auto a = muon->snapshot(), b = adam->snapshot();
  for (const auto& [name, tensor] : start.tensors) {
    const bool matrix_of_a_layer = tensor.shape.size() == 2 && name.starts_with("model.layers.");
    EXPECT_EQ(a->tensors.at(name).data != b->tensors.at(name).data, matrix_of_a_layer) << name;
    if (!matrix_of_a_layer) continue;
    const auto change = matrix(a->tensors.at(name)) - matrix(tensor);
    const double longer = static_cast<double>(std::max(tensor.shape[0], tensor.shape[1])),
                 shorter = static_cast<double>(std::min(tensor.shape[0], tensor.shape[1]));
    // Orthogonal: a norm of about sqrt(shorter side), at most, times 0.2 sqrt(longer side) and the rate.
    EXPECT_LT(change.norm().item<double>(), 1.3e-2 * 0.2 * std::sqrt(longer * shorter)) << name;
    EXPECT_GT(change.norm().item<double>(), 0.3e-2 * 0.2 * std::sqrt(longer * shorter)) << name;
  }
}

TEST(Muon, GivesTheSameBitsForAnyNumberOfLanesAndAfterARestore) { // OPT-1, OPT-2
  const auto start = random_weights(small_config(), 9);
  const optimizer_options muon{.weight_decay = 0.1, .kind = optimizer_kind::muon};
  const auto a = small_learner(start, 1, 4096, muon);
  const auto one_sample = [&](std::uint64_t i) {
    return supervised_batch(i, 1, start.config);
  }; // one pass: no lane's share of the sum
  ASSERT_TRUE(a->sft_step(one_sample(1), 1e-2));
  const auto weights = a->snapshot();
  const auto state = a->optimizer_state();
  EXPECT_TRUE(state.tensors.contains("momentum_buffer.model.layers.0.mlp.up_proj.weight"));
  EXPECT_FALSE(state.tensors.contains("exp_avg_sq.model.layers.0.mlp.up_proj.weight"));
  ASSERT_TRUE(a->sft_step(one_sample(2), 1e-2));
  const auto b = small_learner(start, 3, 4096, muon);
  ASSERT_TRUE(b->restore(*weights, &state));
  ASSERT_TRUE(b->sft_step(one_sample(2), 1e-2));
  expect_same_bits(*a->snapshot(), *b->snapshot());
}

TEST(Muon, LearnsABatchByHeart) {
  const auto start = initial_weights(small_config(), 1);
  const auto l = small_learner(start, 1, 4096, {.kind = optimizer_kind::muon});
  const auto batch = supervised_batch(1, 4, start.config, 10);
  double last = 0;
  for (int i = 0; i < 150; ++i) last = l->sft_step(batch, 1e-2)->loss;
  EXPECT_LT(last, 0.3);
}

TEST(ALearnerThatComputesLayersAgain, TakesTheSameStepsBitForBit) {
  for (const bool adapters : {false, true}) {
    const auto start = random_weights(qwen_like(), 10);
    learner_options options{.threads = 2, .max_tokens_per_pass = 60};
    if (adapters) options.adapters.rank = 2;
    const auto kept = learner_with(start, options);
    options.recompute_layers = true;
    const auto again = learner_with(start, options);
    for (std::uint64_t i = 0; i < 2; ++i) {
      ASSERT_TRUE(kept->sft_step(supervised_batch(i, 9, start.config), 1e-2));
      ASSERT_TRUE(again->sft_step(supervised_batch(i, 9, start.config), 1e-2));
    }
    expect_same_bits(*kept->snapshot(), *again->snapshot());
  }
}

TEST(PlainOperators, TrainTheSameModelAsTheFusedOnes) { // what runs on a GPU
  for (const auto& config : {qwen_like(), small_config()}) {
    const auto start = random_weights(config, 11);
    const auto fused = learner_with(start, {}), plain = learner_with(start, {.device = "plain"});
    const auto batch = policy_batch(*fused, 1, 8, config);
    for (int i = 0; i < 2; ++i) {
      const auto a = fused->rl_step(batch, supervised_batch(2, 3, config),
                                    {.loss = rl_loss::grpo, .ptx_weight = 0.1}, version);
      const auto b = plain->rl_step(batch, supervised_batch(2, 3, config),
                                    {.loss = rl_loss::grpo, .ptx_weight = 0.1}, version);
      ASSERT_TRUE(a && b);
      EXPECT_NEAR(a->loss, b->loss, 1e-5);
      EXPECT_NEAR(a->grad_norm, b->grad_norm, 1e-4 * a->grad_norm);
    }
    random_stream random(1);
    const auto tokens = random_tokens(random, 40, config.vocab_size);
    EXPECT_LT(largest_difference(*fused->logprobs(tokens, 0.8), *plain->logprobs(tokens, 0.8)), 2e-3);
  }
}

TEST(ALearnerOnAGpu, TrainsTheSameModelAsOnTheCpu) {
  const auto start = random_weights(qwen_like(), 12);
  const auto made = torch_detail::make_torch_learner(start, {.device = "cuda"});
  if (!made) {
    EXPECT_NE(made.error().message.find("has none"), std::string::npos) << made.error().message;
    GTEST_SKIP() << "no GPU here";
  }
  const auto host = small_learner(start);
  const auto batch = policy_batch(*host, 1, 8, start.config);
  const auto a = host->rl_step(batch, {}, {}, version), b = (*made)->rl_step(batch, {}, {}, version);
  ASSERT_TRUE(a && b);
  EXPECT_NEAR(a->loss, b->loss, 1e-4);
  random_stream random(1);
  const auto tokens = random_tokens(random, 40, start.config.vocab_size);
  EXPECT_LT(largest_difference(*host->logprobs(tokens, 1.0), *(*made)->logprobs(tokens, 1.0)), 1e-2);
}

TEST(BfloatProducts, KeepTheKlToFloat32Small) { // at most 0.01
  model_config config = small_config();
  config.vocab_size = 300, config.hidden_size = 64, config.head_dim = 16, config.intermediate_size = 160,
  config.previous_token_map = false;
  const auto start = random_weights(config, 13, 0.12);
  const auto whole = learner_with(start, {}), half = learner_with(start, {.bfloat16 = true});
  random_stream random(2);
  double kl = 0;
  std::size_t count = 0;
  for (int i = 0; i < 20; ++i) {
    const auto tokens = random_tokens(random, 60, config.vocab_size);
    const auto a = whole->logprobs(tokens, 1.0), b = half->logprobs(tokens, 1.0);
    ASSERT_TRUE(a && b);
    for (std::size_t t = 1; t < tokens.size(); ++t) { // k3: never negative
      const double d = static_cast<double>((*b)[t]) - static_cast<double>((*a)[t]);
      kl += std::exp(d) - d - 1, ++count;
    }
  }
  EXPECT_GT(kl, 0);
  EXPECT_LT(kl / static_cast<double>(count), 0.01);
  const auto batch = supervised_batch(1, 4, config, 10);
  double last = 0;
  for (int i = 0; i < 200; ++i) last = half->sft_step(batch, 3e-3)->loss;
  EXPECT_LT(last, 0.5); // and it learns
}

TEST(TheProximalPolicy, IsTheOneBeforeTheBatchOrItsInterpolationOrTheRecordedOne) {
  const auto start = random_weights(small_config(), 14);
  std::vector<weights_ptr> ends;
  for (auto proximal :
       {proximal_policy::recompute, proximal_policy::interpolate, proximal_policy::behaviour}) {
    const auto l = small_learner(start);
    const auto batch = policy_batch(*l, 3, 12, start.config, 0.3);
    for (int steps : {1, 3})
      ASSERT_TRUE(l->rl_step(
          batch, {},
          {.loss = rl_loss::decoupled_ppo, .minibatches = steps, .learning_rate = 3e-3, .proximal = proximal},
          version));
    ends.push_back(l->snapshot());
  }
  EXPECT_FALSE(same_bits(*ends[0], *ends[1]));
  EXPECT_FALSE(same_bits(*ends[0], *ends[2]));
  EXPECT_FALSE(same_bits(*ends[1], *ends[2]));
  // On policy, at the first update, there is nothing to tell them apart but rounding.
  std::vector<double> losses;
  for (auto proximal :
       {proximal_policy::recompute, proximal_policy::interpolate, proximal_policy::behaviour}) {
    const auto l = small_learner(start);
    const auto batch = policy_batch(*l, 3, 12, start.config, 0.0);
    losses.push_back(
        l->rl_step(batch, {}, {.loss = rl_loss::ppo, .minibatches = 1, .proximal = proximal}, version)->loss);
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-5);
  EXPECT_NEAR(losses[0], losses[2], 1e-5);
}

TEST(TheReferencePolicy, HoldsThePolicyBack) {
  const auto start = random_weights(small_config(), 15);
  const auto reference = std::make_shared<const model_weights>(start);
  const auto moved = [&](double kl_weight) {
    const auto l = learner_with(start, {.reference = reference});
    const auto batch = policy_batch(*l, 3, 12, start.config, 0.0);
    for (int i = 0; i < 10; ++i)
      EXPECT_TRUE(l->rl_step(
          batch, {}, {.loss = rl_loss::grpo, .learning_rate = 5e-3, .kl_weight = kl_weight}, version));
    double away = 0;
    for (const auto& s : batch)
      away += largest_difference(*l->logprobs(s.tokens, 1.0), *small_learner(start)->logprobs(s.tokens, 1.0));
    return away;
  };
  EXPECT_LT(moved(20), 0.7 * moved(0));
  const auto without = small_learner(start);
  const auto refused =
      without->rl_step(policy_batch(*without, 1, 2, start.config), {}, {.kl_weight = 1}, version);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("reference"), std::string::npos);
}

TEST(Packing, LeavesAtMostThreeTokensOfAHundredUnused) {
  const auto start = random_weights(small_config(), 16);
  const auto l = small_learner(start, 2);
  std::vector<sft_sample> batch;
  random_stream random(3);
  for (int i = 0; i < 60; ++i) {
    sft_sample s{.tokens = random_tokens(random, 20 + random.below(44), 23), .weights = {}};
    s.weights.assign(s.tokens.size(), 1.f);
    batch.push_back(std::move(s));
  }
  const auto stats = l->sft_step(batch, 1e-3);
  ASSERT_TRUE(stats);
  EXPECT_GE(static_cast<double>(stats->tokens) / static_cast<double>(stats->rows), 0.97);
  EXPECT_GE(stats->rows, stats->tokens);
}

} // namespace troupe

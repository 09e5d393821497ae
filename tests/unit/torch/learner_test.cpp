#include "small_model.hpp"
#include <ATen/TensorOperators.h>
#include <cmath>
#include <limits>

namespace troupe {

namespace {

using torch_detail::torch_learner;

const std::uint64_t version = 4;

at::Tensor gradient_of(learner& of,
                       const std::function<void(torch_learner&, std::vector<torch_learner::pass>&)>& add,
                       double* loss = nullptr) {
  auto& learner = dynamic_cast<torch_learner&>(of);
  std::vector<torch_learner::pass> passes;
  add(learner, passes);
  const auto result = learner.differentiate(passes);
  EXPECT_TRUE(result);
  if (loss) *loss = result->loss;
  return learner.gradient().clone();
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

} // namespace

TEST(ALearner, GivesTheSameBitsForTheSameBatches) {
  const auto start = random_weights(small_config(), 1);
  std::vector<weights_ptr> ends;
  for (int run = 0; run < 2; ++run) {
    const auto l = small_learner(start, 2, 40);
    for (std::uint64_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(l->sft_step(supervised_batch(i, 9, start.config), 1e-3));
      for (auto loss : {rl_loss::k2, rl_loss::reinforce})
        ASSERT_TRUE(l->rl_step(policy_batch(*l, i, 12, start.config), supervised_batch(i, 3, start.config),
                               {.loss = loss, .ptx_weight = 0.1}, version));
    }
    ends.push_back(l->snapshot());
  }
  expect_same_bits(*ends[0], *ends[1]);
}

TEST(ALearner, HasTheSameGradientHoweverABatchIsCutIntoPasses) { // section 8.3
  const auto start = random_weights(small_config(), 2);
  const auto whole = small_learner(start);
  const auto sft = supervised_batch(3, 11, start.config);
  const auto rl = policy_batch(*whole, 4, 17, start.config);
  const auto all = [&](torch_learner& l, std::vector<torch_learner::pass>& to) {
    l.add_sft_passes(sft, 55.5, false, to);
    for (auto kind : {rl_loss::k2, rl_loss::reinforce}) l.add_rl_passes(rl, {.loss = kind}, version, to);
  };
  double loss = 0;
  const auto expected = gradient_of(*whole, all, &loss);
  for (const auto& [threads, tokens] : {std::pair{1, 1}, {1, 40}, {2, 100}, {2, 4096}, {3, 33}}) {
    double other = 0;
    EXPECT_LT(distance(gradient_of(*small_learner(start, threads, tokens), all, &other), expected), 1e-6);
    EXPECT_NEAR(other, loss, 1e-6 * std::abs(loss));
  }
}

TEST(ALearner, AddsThePtxGradientToThePolicyGradient) { // X1
  const auto start = random_weights(small_config(), 2);
  const auto l = small_learner(start);
  const auto sft = supervised_batch(3, 5, start.config);
  const auto rl = policy_batch(*l, 4, 6, start.config);
  const auto policy = [&](torch_learner& t, auto& to) { t.add_rl_passes(rl, {}, version, to); };
  const auto ptx = [&](torch_learner& t, auto& to) { t.add_sft_passes(sft, 10, false, to); };
  const auto a = gradient_of(*l, policy), b = gradient_of(*l, ptx);
  const auto both = gradient_of(*l, [&](torch_learner& t, auto& to) { policy(t, to), ptx(t, to); });
  EXPECT_LT(distance(both, a + b), 1e-6);
  EXPECT_GT(distance(both, a), 1e-3);
}

TEST(ALearner, IgnoresThePtxBatchBitForBitAtWeightZero) { // X1, section 8.4
  const auto start = random_weights(small_config(), 3);
  const auto with = small_learner(start), without = small_learner(start);
  const auto batch = policy_batch(*with, 5, 8, start.config);
  ASSERT_TRUE(with->rl_step(batch, supervised_batch(1, 4, start.config), {.ptx_weight = 0}, version));
  ASSERT_TRUE(without->rl_step(batch, {}, {}, version));
  expect_same_bits(*with->snapshot(), *without->snapshot());
}

TEST(ALearner, TakesNothingFromPositionsThatWereNotSampled) { // section 8.2
  const auto start = random_weights(small_config(), 4);
  const auto batch = policy_batch(*small_learner(start), 6, 8, start.config);
  const auto after = [&](const std::vector<rl_sample>& of) {
    const auto l = small_learner(start);
    EXPECT_TRUE(l->rl_step(of, {}, {.loss = rl_loss::k2}, version));
    return l->snapshot();
  };
  const auto expected = after(batch);
  auto unmasked = batch, masked = batch;
  for (auto& s : unmasked)
    for (std::size_t t = 0; t < s.mask.size(); ++t)
      if (!s.mask[t]) s.behaviour_logprobs[t] = -5, s.versions[t] = 2, s.turn_weights[t] = 0.1f;
  expect_same_bits(*expected, *after(unmasked));
  masked[2].behaviour_logprobs.back() -= 0.5f;
  EXPECT_FALSE(same_bits(*expected, *after(masked)));
}

TEST(ALearner, ContinuesFromASavedStateWithTheSameBits) { // OPT-1
  const auto start = random_weights(small_config(), 5);
  const auto a = small_learner(start, 1, 4096, {.weight_decay = 0.1});
  const auto step = [&](learner& l, std::uint64_t i) {
    ASSERT_TRUE(l.sft_step(supervised_batch(i, 6, start.config), 2e-3));
  };
  step(*a, 1), step(*a, 2);
  const auto weights = a->snapshot();
  const auto optimizer = a->optimizer_state();
  step(*a, 3), step(*a, 4);

  const auto b = small_learner(random_weights(small_config(), 99), 1, 4096, {.weight_decay = 0.1});
  step(*b, 7);
  ASSERT_TRUE(b->restore(*weights, &optimizer));
  step(*b, 3), step(*b, 4);
  expect_same_bits(*a->snapshot(), *b->snapshot());
  expect_same_bits(a->optimizer_state(), b->optimizer_state());

  const auto c = small_learner(start, 1, 4096, {.weight_decay = 0.1});
  ASSERT_TRUE(c->restore(*weights, nullptr)); // without moments it goes on differently
  step(*c, 3), step(*c, 4);
  EXPECT_FALSE(same_bits(*a->snapshot(), *c->snapshot()));
}

TEST(ALearner, ChangesNothingWhenABatchGivesNoFiniteNumber) {
  const auto start = random_weights(small_config(), 6);
  const auto l = small_learner(start);
  const auto batch = policy_batch(*l, 1, 8, start.config);
  // The first minibatch throws the weights to about 1e30; the second then gives no finite loss, and both must
  // be undone.
  const auto weights = l->snapshot();
  const auto failed = l->rl_step(batch, {}, {.minibatches = 2, .learning_rate = 1e30}, version);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, errc::internal);
  expect_same_bits(*weights, *l->snapshot());
  EXPECT_EQ(l->optimizer_state().tensors.at("step").data[0], 0.f);

  const auto sft = supervised_batch(1, 4, start.config);
  ASSERT_TRUE(l->sft_step(sft, 1e30));
  const auto far = l->snapshot();
  const auto moments = l->optimizer_state();
  const auto again = l->sft_step(sft, 1e-3);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, errc::internal);
  expect_same_bits(*far, *l->snapshot());
  expect_same_bits(moments, l->optimizer_state());
}

TEST(ALearner, RefusesABatchThatMakesNoSense) {
  const auto start = random_weights(small_config(), 7);
  const auto l = small_learner(start);
  const auto good = policy_batch(*l, 1, 2, start.config);
  const auto refused = [&](const std::function<void(rl_sample&)>& spoil) {
    auto batch = good;
    spoil(batch[1]);
    const auto result = l->rl_step(batch, {}, {}, version);
    return !result && result.error().code == errc::invalid &&
           result.error().message.find("r1") != std::string::npos;
  };
  EXPECT_TRUE(refused([](rl_sample& s) { s.tokens[1] = 23; }));
  EXPECT_TRUE(refused([](rl_sample& s) { s.tokens[1] = -1; }));
  EXPECT_TRUE(refused([](rl_sample& s) { s.mask.pop_back(); }));
  EXPECT_TRUE(refused([](rl_sample& s) { s.mask[0] = 1; }));
  EXPECT_TRUE(refused([](rl_sample& s) { s.mask.assign(s.mask.size(), 0); }));
  EXPECT_TRUE(refused([](rl_sample& s) { s.temperature = 0; }));
  EXPECT_TRUE(refused([](rl_sample& s) { s.versions.back() = version + 1; }));
  EXPECT_TRUE(refused([](rl_sample& s) { s.reward = std::nan(""); }));
  EXPECT_TRUE(
      refused([](rl_sample& s) { s.behaviour_logprobs.back() = -std::numeric_limits<float>::infinity(); }));
  EXPECT_TRUE(refused([](rl_sample& s) {
    s.tokens.resize(65), s.mask.resize(65), s.behaviour_logprobs.resize(65), s.versions.resize(65),
        s.turn_weights.resize(65);
  }));
  EXPECT_FALSE(l->rl_step({}, {}, {}, version));
  EXPECT_FALSE(l->rl_step(good, {}, {.minibatches = 0}, version));
  EXPECT_FALSE(l->rl_step(good, {}, {.tau = 0}, version));
  EXPECT_FALSE(l->rl_step(good, {}, {.learning_rate = std::nan("")}, version));
  EXPECT_FALSE(l->sft_step({}, 1e-3));
  EXPECT_FALSE(
      l->sft_step({{{1, 2}, {1, 0}}}, 1e-3)); // only the first token has a weight, and nothing predicts it
  expect_same_bits(start, *l->snapshot());
}

TEST(ALearner, RefusesWeightsOfAnotherModel) {
  const auto config = small_config();
  const auto start = random_weights(config, 8);
  const auto spoiled = [&](const std::function<void(model_weights&)>& spoil) {
    auto weights = start;
    spoil(weights);
    const auto made = torch_detail::make_torch_learner(weights, {});
    return !made && made.error().code == errc::invalid;
  };
  EXPECT_TRUE(spoiled([](auto& w) { w.tensors.erase("model.norm.weight"); }));
  EXPECT_TRUE(spoiled([](auto& w) { w.tensors["lm_head.weight"] = {{1}, {0.f}}; }));
  EXPECT_TRUE(spoiled([](auto& w) { w.tensors["model.norm.weight"].data[0] = std::nanf(""); }));
  EXPECT_TRUE(spoiled([](auto& w) { w.tensors["model.norm.weight"].shape = {1, 12}; }));
  const auto l = small_learner(start);
  auto other = start;
  other.config.rope_theta = 5;
  EXPECT_FALSE(l->restore(other, nullptr));
  auto optimizer = l->optimizer_state();
  optimizer.tensors.erase("exp_avg_sq.model.norm.weight");
  EXPECT_FALSE(l->restore(random_weights(config, 9), &optimizer));
  expect_same_bits(start, *l->snapshot());
}

TEST(ALearner, ReportsTheGapToTheEngineOnlyForTokensOfItsOwnVersion) {
  const auto start = random_weights(small_config(), 10);
  const auto l = small_learner(start);
  auto batch = policy_batch(*l, 1, 4, start.config, 0.0);
  for (auto& s : batch)
    for (std::size_t t = 1; t < s.tokens.size(); ++t)
      if (s.mask[t] && s.versions[t] != version) s.behaviour_logprobs[t] -= 0.5f;
  const auto stats = l->rl_step(batch, {}, {.minibatches = 1}, version);
  ASSERT_TRUE(stats);
  EXPECT_LT(stats->max_logprob_gap, 1e-5);
  EXPECT_LT(stats->kl, -0.05); // k1, mu - pi: it does see the others
  EXPECT_GT(stats->entropy, 0);
  EXPECT_GT(stats->grad_norm, 0);
  EXPECT_EQ(stats->clip_fraction, 0);
  std::int64_t tokens = 0, sampled = 0;
  for (const auto& s : batch)
    tokens += static_cast<std::int64_t>(s.tokens.size()),
        sampled += std::count(s.mask.begin(), s.mask.end(), 1);
  EXPECT_EQ(stats->tokens, tokens);
  EXPECT_EQ(stats->loss_tokens, sampled);
}

TEST(ALearner, LearnsABatchByHeart) {
  const auto start = initial_weights(small_config(), 1);
  const auto l = small_learner(start);
  const auto batch = supervised_batch(1, 4, start.config, 10);
  const double first = l->sft_step(batch, 1e-2)->loss;
  double last = first;
  for (int i = 0; i < 150; ++i) last = l->sft_step(batch, 1e-2)->loss;
  EXPECT_GT(first, 2.5); // about log 23
  EXPECT_LT(last, 0.3);
}

TEST(EveryLoss, MakesARewardedTokenLikelyAndAnotherRare) {
  const auto start = random_weights(small_config(), 11);
  for (const auto& recipe : loss_recipes()) {
    const auto loss = recipe.kind;
    const auto l = small_learner(start);
    const std::vector<token> prompt{3, 1, 4};
    const auto probability = [&](token t) { return std::exp((*l->logprobs({3, 1, 4, t}, 1.0))[3]); };
    const float before = probability(5);
    for (std::uint64_t step = 0; step < 30; ++step) {
      std::vector<rl_sample> batch;
      for (token t = 0; t < 23; ++t) { // every token once, weighted by how often the policy would sample it
        const float p = probability(t);
        rl_sample s{.id = std::to_string(t),
                    .tokens = {3, 1, 4, t},
                    .mask = {0, 0, 0, 1},
                    .behaviour_logprobs = {0, 0, 0, std::log(p)},
                    .versions = {0, 0, 0, step},
                    .turn_weights = {1, 1, 1, 1}};
        s.reward = t == 5, s.baseline = static_cast<double>(probability(5)),
        s.weight = 23.0 * static_cast<double>(p);
        batch.push_back(s);
      }
      ASSERT_TRUE(l->rl_step(batch, {}, {.loss = loss, .minibatches = 1, .learning_rate = 2e-2}, step));
    }
    EXPECT_LT(before, 0.3f) << recipe.name;
    EXPECT_GT(probability(5), 0.8f) << recipe.name;
  }
}

TEST(Passes, HoldEverySampleOnceInOrderAndComeInEqualShares) {
  random_stream random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int64_t> lengths(1 + random.below(60));
    for (auto& n : lengths) n = static_cast<std::int64_t>(1 + random.below(200));
    const auto most = static_cast<std::int64_t>(1 + random.below(1500));
    const int lanes = 1 + static_cast<int>(random.below(3));
    std::size_t next = 0;
    for (const auto& p : torch_detail::cut_into_passes(lengths, most, lanes)) {
      ASSERT_EQ(p.begin, next);
      ASSERT_GT(p.end, p.begin);
      std::int64_t sum = 0;
      for (auto i = p.begin; i < p.end; ++i) sum += lengths[i];
      EXPECT_EQ(sum, p.tokens);
      EXPECT_TRUE(p.end - p.begin == 1 || sum <= most);
      next = p.end;
    }
    EXPECT_EQ(next, lengths.size());
  }
  EXPECT_EQ(torch_detail::cut_into_passes(std::vector<std::int64_t>(16, 80), 4096, 2).size(), 2U);
}

} // namespace troupe

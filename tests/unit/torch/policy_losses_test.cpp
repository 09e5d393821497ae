#include "loss_world.hpp"

// The losses with a ratio to a proximal policy, their corrections and their KL: closed forms, and autograd against differences.
namespace troupe::torch_detail {

namespace {

/// One token per row, each a sequence of its own, with these ratios pi / prox; mu is prox.
struct ratio_case {
  world w;
  at::Tensor logprobs;
};
ratio_case with_ratios(const numbers& ratios, const numbers& advantages) {
  ratio_case out;
  const auto n = ratios.size();
  out.logprobs = tensor(numbers(n, -1.0));
  auto& w = out.w;
  for (std::size_t i = 0; i < n; ++i) {
    w.sequence.push_back(static_cast<std::int64_t>(i));
    w.choices.push_back(0);
    w.proximal.push_back(-1.0 - std::log(ratios[i]));
  }
  w.behaviour = w.proximal, w.advantages = advantages;
  w.turn_weights.assign(n, 1), w.weights.assign(n, 1), w.divisor = static_cast<double>(n);
  return out;
}
loss_input input_of(const ratio_case& c, const at::Tensor& logprobs) {
  auto in = c.w.input(tensor(numbers(c.w.choices.size(), 0)).unsqueeze(1));
  in.logprobs = logprobs;
  return in;
}
/// The gradient by log pi, times the number of rows.
numbers slopes(const ratio_case& c, rl_loss kind, const rl_options& options) {
  auto out =
      gradient(c.logprobs, [&](const at::Tensor& x) { return value_of(input_of(c, x), kind, options).loss; });
  for (double& x : out) x *= static_cast<double>(out.size());
  return out;
}

const std::vector<rl_loss> with_proximal{rl_loss::ppo,  rl_loss::grpo,  rl_loss::dr_grpo,      rl_loss::dapo,
                                         rl_loss::gspo, rl_loss::cispo, rl_loss::decoupled_ppo};

} // namespace

TEST(PolicyClip, StopsTheGradientOutsideItsRangeOnTheSideThatGoesFurther) { // A6
  const auto c = with_ratios({0.7, 0.7, 1.0, 1.0, 1.1, 1.3, 1.3}, {1, -1, 1, -1, 1, 1, -1});
  expect_near(slopes(c, rl_loss::ppo, {}), {-0.7, 0, -1, 1, -1.1, 0, 1.3}, 1e-12);
  EXPECT_EQ(value_of(input_of(c, c.logprobs), rl_loss::ppo, {}).clipped, 2);
}

TEST(PolicyClip, OfDapoGoesHigherUpThanDown) { // A9: 0.2 and 0.28
  const auto c = with_ratios({0.79, 0.81, 1.27, 1.29}, {-1, -1, 1, 1});
  expect_near(slopes(c, rl_loss::dapo, {}), {0, 0.81, -1.27, 0}, 1e-12);
  expect_near(slopes(c, rl_loss::dapo, {.clip_low = 0.3, .clip_high = 0.5}), {0.79, 0.81, -1.27, -1.29},
              1e-12);
}

TEST(PolicyClip, IsBoundedBelowByItsDualClip) {
  const auto c = with_ratios({2.9, 3.1, 50}, {-1, -1, -1});
  expect_near(slopes(c, rl_loss::ppo, {.dual_clip = 3}), {2.9, 0, 0}, 1e-12);
  expect_near(slopes(c, rl_loss::ppo, {}), {2.9, 3.1, 50}, 1e-12);
}

TEST(GroupRelative, WithTheGroupsDeviationIsNotProportionalToReinforce) { // A1's row of GRPO, K = 4
  expect_near(expected_ascent(4, rl_loss::grpo, mean_baselines, {}, true), {0.241, -0.320, 0.078}, 1e-3);
  const double factor = 3.0 / 4; // without it, it is mean-baseline REINFORCE
  expect_near(expected_ascent(4, rl_loss::grpo, mean_baselines, {}),
              {0.11 * factor, -0.135 * factor, 0.025 * factor}, 1e-12);
}

TEST(TheKlTerm, IsNeverNegativeAndItsMeanIsTheExactKl) { // A7: k3, by enumeration
  const numbers policy{0.2, 0.3, 0.5}, reference{0.3, 0.3, 0.4};
  double mean = 0, exact = 0;
  for (std::size_t a = 0; a < 3; ++a) {
    world w{.choices = {static_cast<std::int64_t>(a)}, .sequence = {0}, .behaviour = {0}};
    w.proximal = {std::log(policy[a])}, w.reference = {std::log(reference[a])};
    w.turn_weights = w.weights = {1}, w.advantages = {0};
    const auto loss = value_of(w.input(logits_of(policy).unsqueeze(0)), rl_loss::grpo, {.kl_weight = 1}).loss;
    EXPECT_GE(loss.item<double>(), 0);
    mean += policy[a] * loss.item<double>();
    exact += policy[a] * std::log(policy[a] / reference[a]);
  }
  EXPECT_NEAR(mean, exact, 1e-12);
}

TEST(DrGrpo, PullsTwiceAsHardOnAnAnswerOfTwiceTheLength) { // A8; GRPO does not
  const auto pull = [](rl_loss kind, int length) {
    world w;
    w.logits = tensor(numbers(static_cast<std::size_t>(2 * length), 0)).view({length, 2});
    for (int t = 0; t < length; ++t) w.choices.push_back(0), w.sequence.push_back(0);
    w.behaviour = w.proximal = numbers(static_cast<std::size_t>(length), std::log(0.5));
    w.turn_weights.assign(w.choices.size(), 1), w.weights = {1}, w.advantages = {-1};
    double sum = 0;
    for (double g : gradient(w.logits, loss(w, kind, {.length_constant = 10}))) sum += std::abs(g);
    return sum;
  };
  EXPECT_NEAR(pull(rl_loss::dr_grpo, 8), 2 * pull(rl_loss::dr_grpo, 4), 1e-12);
  EXPECT_NEAR(pull(rl_loss::grpo, 8), pull(rl_loss::grpo, 4), 1e-12);
}

TEST(TheTokenMean, WeighsEveryTokenOfTheBatchAlike) { // A9
  const auto w = random_world(51, 0); // on policy: every token's gradient is its advantage times the slope
  auto same = w;
  same.proximal = same.behaviour, same.weights.assign(5, 1), same.turn_weights.assign(w.choices.size(), 1);
  same.advantages.assign(5, 1);
  const auto g = gradient(w.logits, loss(same, rl_loss::dapo, {}));
  for (std::size_t r = 0; r < w.choices.size(); ++r) {
    const auto at = r * 4 + static_cast<std::size_t>(w.choices[r]);
    const double p = std::exp(w.behaviour[r]);
    EXPECT_NEAR(g[at], -(1 - p) / static_cast<double>(w.choices.size()), 1e-12);
  }
}

TEST(SequencePolicy, IsTokenPolicyForSequencesOfOneToken) { // A10
  const auto c = with_ratios({0.7, 0.9996, 1.0, 1.0003, 1.3}, {1, -1, 1, 1, -1});
  expect_near(slopes(c, rl_loss::gspo, {}), slopes(c, rl_loss::grpo, {.clip_low = 3e-4, .clip_high = 4e-4}),
              1e-12);
}

TEST(SequencePolicy, HasTheMeanOfItsTokensGradients) { // A10: s (1/|y|) sum grad log pi
  auto w = random_world(52, 0.3);
  w.weights.assign(5, 1), w.turn_weights.assign(w.choices.size(), 1);
  const auto now = values(w.input(w.logits).logprobs);
  const rl_options wide{.clip_low = 0.999, .clip_high = 1e6};
  numbers log_s(5, 0), size(5, 0);
  for (std::size_t r = 0; r < now.size(); ++r) {
    const auto s = static_cast<std::size_t>(w.sequence[r]);
    log_s[s] += now[r] - w.proximal[r], ++size[s];
  }
  const auto by_row = gradient(tensor(now), [&](const at::Tensor& x) {
    auto in = w.input(w.logits);
    in.logprobs = x;
    return value_of(in, rl_loss::gspo, wide).loss;
  });
  for (std::size_t r = 0; r < now.size(); ++r) {
    const auto s = static_cast<std::size_t>(w.sequence[r]);
    EXPECT_NEAR(by_row[r], -w.advantages[s] * std::exp(log_s[s] / size[s]) / size[s] / 5, 1e-12);
  }
}

TEST(ClippedWeights, LeaveEveryTokenItsGradient) { // A11
  const auto c = with_ratios({0.7, 0.9, 1.0, 1.1, 1.4}, {-1, 1, -1, 1, 1});
  expect_near(slopes(c, rl_loss::cispo, {}), {0.8, -0.9, 1, -1.1, -1.28}, 1e-12);
  const auto clip = slopes(c, rl_loss::ppo, {.clip_low = 0.2, .clip_high = 0.28});
  expect_near({clip[1], clip[2], clip[3]}, {-0.9, 1, -1.1}, 1e-12); // inside the range: PPO's
  expect_near({clip[0], clip[4]}, {0, 0}, 1e-12);
}

TEST(DecoupledPolicy, IsTheClipWhereTheProximalPolicySampled) { // A12
  auto w = random_world(53, 0.4);
  w.behaviour = w.proximal;
  EXPECT_EQ(gradient(w.logits, loss(w, rl_loss::decoupled_ppo, {})),
            gradient(w.logits, loss(w, rl_loss::ppo, {})));
}

TEST(DecoupledPolicy, WithoutItsClipIsExactImportanceSampling) { // A12: by enumeration
  const numbers other{0.5, 0.3, 0.2}, between{0.4, 0.3, 0.3};
  numbers total(3, 0);
  for (std::size_t a = 0; a < 3; ++a) {
    world w{.choices = {static_cast<std::int64_t>(a)}, .sequence = {0}, .behaviour = {std::log(other[a])}};
    w.proximal = {std::log(between[a])}, w.turn_weights = w.weights = {1}, w.advantages = {bandit_rewards[a]};
    const auto g = gradient(logits_of(bandit_policy), [&](const at::Tensor& z) {
      return value_of(w.input(z.unsqueeze(0)), rl_loss::decoupled_ppo, {.clip_low = 0.999, .clip_high = 1e6})
          .loss;
    });
    for (std::size_t i = 0; i < 3; ++i) total[i] -= other[a] * g[i];
  }
  expect_near(total, {0.11, -0.135, 0.025}, 1e-12);
}

TEST(TheInterpolatedProximalPolicy, IsExactWhereLogprobsAreLinearInTheVersion) { // A13
  // A token of version 3, a batch at version 7, a quarter of its update done: log p = -1 - 0.1 version
  const auto at_version = [](double v) { return -1 - 0.1 * v; };
  auto now = tensor({at_version(7.25), -2.0});
  now.set_requires_grad(true);
  const auto prox = interpolated_proximal(tensor({at_version(3), -1.5}), now, tensor({4, 0}), 0.25);
  expect_near(values(prox.detach()), {at_version(7), -1.5}, 1e-12); // age 0: mu itself
  EXPECT_FALSE(prox.requires_grad());
  expect_near(values(interpolated_proximal(tensor({-3, -1}), tensor({-2, -1}), tensor({2, 0}), 0)), {-2, -1},
              1e-12); // before the first update: the current policy
}

TEST(Corrections, TruncateOrMaskTheWeightOfAToken) { // C1: 0.1, 1, 3 -> 0.1, 1, 2; C2 and C3
  auto c = with_ratios({1, 1, 1, 1, 1}, {1, 1, 1, 1, 1});
  const numbers weights{0.1, 0.5, 1, 2, 3};
  for (std::size_t i = 0; i < 5; ++i) c.w.behaviour[i] = c.w.proximal[i] - std::log(weights[i]);
  const auto factors = [&](const rl_options& o, std::int64_t& hit) {
    return values(correction_factors(input_of(c, c.logprobs), o, hit));
  };
  std::int64_t hit = 0;
  using enum mismatch_correction;
  expect_near(factors({.loss = rl_loss::ppo, .correction = truncate, .correction_high = 2.0000001}, hit),
              {0.1, 0.5, 1, 2, 2.0000001}, 1e-12);
  EXPECT_EQ(hit, 1);
  expect_near(factors({.loss = rl_loss::ppo,
                       .correction = mask,
                       .correction_low = 0.4999999,
                       .correction_high = 2.0000001},
                      hit = 0),
              {0, 0.5, 1, 2, 0}, 1e-12);
  EXPECT_EQ(hit, 2);
  expect_near(factors({.loss = rl_loss::ppo}, hit = 0), {1, 1, 1, 1, 1}, 0);
  expect_near(factors({.loss = rl_loss::decoupled_ppo}, hit = 0), weights, 1e-12);
  expect_near(slopes(c, rl_loss::ppo, {.correction = truncate, .correction_high = 2}),
              {-0.1, -0.5, -1, -2, -2}, 1e-9);
}

TEST(Corrections, LookAtWholeSequencesOrTheirMean) {
  world w;
  w.choices = {0, 0, 0}, w.sequence = {0, 0, 1}, w.proximal = {-1, -1, -1};
  w.behaviour = {-1 - std::log(2.0), -1 - std::log(0.4), -1 - std::log(1e-5)};
  w.turn_weights.assign(3, 1), w.advantages = w.weights = {1, 1};
  const auto in = w.input(tensor({0, 0, 0}).unsqueeze(1));
  std::int64_t hit = 0;
  using enum mismatch_correction;
  const auto with = [&](mismatch_correction how, correction_level level) {
    return values(correction_factors(in,
                                     {.loss = rl_loss::ppo,
                                      .correction = how,
                                      .correction_by = level,
                                      .correction_low = 1e-9,
                                      .correction_high = 1.5},
                                     hit = 0));
  };
  expect_near(with(truncate, correction_level::sequence), {0.8, 0.8, 1e-5}, 1e-12);
  expect_near(with(truncate, correction_level::geometric), {std::sqrt(0.8), std::sqrt(0.8), 1e-5}, 1e-12);
  expect_near(with(truncate, correction_level::token), {1.5, 0.4, 1e-5}, 1e-12);
  expect_near(with(mask, correction_level::sequence), {0.8, 0.8, 0}, 1e-12); // vetoed: a ratio below 1e-4
  EXPECT_EQ(hit, 1);
}

TEST(Corrections, WithALargeCapAreExactImportanceSampling) { // C1: by enumeration
  const numbers other{0.5, 0.3, 0.2};
  numbers total(3, 0);
  for (std::size_t a = 0; a < 3; ++a) {
    world w{.choices = {static_cast<std::int64_t>(a)}, .sequence = {0}, .behaviour = {std::log(other[a])}};
    w.proximal = {std::log(bandit_policy[a])}, w.turn_weights = w.weights = {1},
    w.advantages = {bandit_rewards[a]};
    const auto g = gradient(logits_of(bandit_policy), [&](const at::Tensor& z) {
      return value_of(w.input(z.unsqueeze(0)), rl_loss::ppo,
                      {.correction = mismatch_correction::truncate, .correction_high = 1e9})
          .loss;
    });
    for (std::size_t i = 0; i < 3; ++i) total[i] -= other[a] * g[i];
  }
  expect_near(total, {0.11, -0.135, 0.025}, 1e-12);
}

TEST(TaperedNegatives, CountWholeOrByTheirSequencesRatio) { // A14
  auto w = random_world(54, 0.6);
  w.weights.assign(5, 1), w.turn_weights.assign(w.choices.size(), 1);
  const auto now = values(w.input(w.logits).logprobs);
  numbers log_ratio(5, 0);
  for (std::size_t r = 0; r < now.size(); ++r)
    log_ratio[static_cast<std::size_t>(w.sequence[r])] += now[r] - w.behaviour[r];
  const auto by_row = gradient(tensor(now), [&](const at::Tensor& x) {
    auto in = w.input(w.logits);
    in.logprobs = x;
    return value_of(in, rl_loss::topr, {}).loss;
  });
  for (std::size_t r = 0; r < now.size(); ++r) {
    const auto s = static_cast<std::size_t>(w.sequence[r]);
    const double factor = w.advantages[s] < 0 ? std::min(1.0, std::exp(log_ratio[s])) : 1;
    EXPECT_NEAR(by_row[r], -factor * w.advantages[s] / 5, 1e-12);
  }
}

TEST(TaperedNegatives, HaveTheEffectiveShareOfPositivesThatTheBaselineGives) { // p = 0.3, c = 0.2 -> 0.2222
  auto c = with_ratios(numbers(10, 1), {});
  for (int i = 0; i < 10; ++i) c.w.advantages.push_back((i < 3 ? 1 : -1) - 0.2);
  const auto g = slopes(c, rl_loss::topr, {});
  double positive = 0, all = 0;
  for (std::size_t i = 0; i < 10; ++i) all += std::abs(g[i]), positive += i < 3 ? std::abs(g[i]) : 0;
  EXPECT_NEAR(positive / all, 0.3 * 0.8 / (1 + 0.4 * 0.2), 1e-12);
}

TEST(EveryLossWithAProximalPolicy, AgreesWithCentralDifferences) {
  for (std::uint64_t seed : {61, 62}) {
    const auto w = random_world(seed, 0.3);
    for (auto kind : with_proximal) {
      if (kind == rl_loss::cispo) continue; // a surrogate: below
      for (auto correction :
           {mismatch_correction::none, mismatch_correction::truncate, mismatch_correction::mask}) {
        const rl_options options{
            .dual_clip = 3, .length_constant = 7, .kl_weight = 0.3, .correction = correction};
        expect_near(gradient(w.logits, loss(w, kind, options)),
                    central_differences(w.logits, loss(w, kind, options)), 1e-6);
      }
    }
    // Losses whose weights are constants for the gradient: the differences are taken with those weights held.
    for (auto kind : {rl_loss::cispo, rl_loss::topr}) {
      const auto at_start = values(w.input(w.logits).logprobs);
      const auto slope = gradient(tensor(at_start), [&](const at::Tensor& x) {
        auto in = w.input(w.logits);
        in.logprobs = x;
        return value_of(in, kind, {}).loss;
      });
      const loss_of surrogate = [&](const at::Tensor& z) {
        return (tensor(slope) * w.input(z).logprobs).sum();
      };
      expect_near(gradient(w.logits, loss(w, kind, {})), central_differences(w.logits, surrogate), 1e-6);
    }
  }
}

TEST(EveryLossOfTheTable, IsTheSumOfItsPartsHoweverASetOfSequencesIsCut) { // section 8.3
  const auto w = random_world(63, 0.3);
  for (const auto& recipe : loss_recipes()) {
    const rl_options options{.kl_weight = 0.1,
                             .correction =
                                 recipe.proximal ? mismatch_correction::truncate : mismatch_correction::none,
                             .correction_by = correction_level::sequence};
    const auto whole = gradient(w.logits, loss(w, recipe.kind, options));
    numbers parts(whole.size(), 0);
    for (std::int64_t s = 0; s < 5; ++s) {
      world one;
      std::vector<std::int64_t> rows;
      for (std::size_t r = 0; r < w.sequence.size(); ++r)
        if (w.sequence[r] == s) {
          rows.push_back(static_cast<std::int64_t>(r));
          one.choices.push_back(w.choices[r]), one.sequence.push_back(0);
          one.behaviour.push_back(w.behaviour[r]), one.proximal.push_back(w.proximal[r]);
          one.reference.push_back(w.reference[r]), one.turn_weights.push_back(w.turn_weights[r]);
        }
      one.advantages = {w.advantages[static_cast<std::size_t>(s)]};
      one.weights = {w.weights[static_cast<std::size_t>(s)]};
      const auto g = gradient(w.logits, [&](const at::Tensor& z) {
        auto in = one.input(z.index_select(0, indices(rows)));
        in.divisor = 5, in.token_divisor = static_cast<double>(w.choices.size());
        return value_of(in, recipe.kind, options).loss;
      });
      for (std::size_t i = 0; i < g.size(); ++i) parts[i] += g[i];
    }
    expect_near(parts, whole, 1e-12);
  }
}

} // namespace troupe::torch_detail

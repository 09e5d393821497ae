#include "gpu/torch/losses.hpp"

#include "loss_world.hpp"

// The closed forms of REINFORCE, K2, PTX and their importance weights.
namespace troupe::torch_detail {

TEST(Reinforce, WithLeaveOneOutIsUnbiasedOverEveryGroupOfTheBandit) { // A1
  for (int group : {2, 3, 4})
    expect_near(expected_ascent(group, rl_loss::reinforce, leave_one_out, {}), {0.11, -0.135, 0.025}, 1e-12);
}

TEST(Reinforce, WithTheGroupsMeanIsShorterByOneOverTheGroup) { // A1
  for (int group : {2, 3, 4}) {
    const double factor = (group - 1.0) / group;
    expect_near(expected_ascent(group, rl_loss::reinforce, mean_baselines, {}),
                {0.11 * factor, -0.135 * factor, 0.025 * factor}, 1e-12);
  }
}

TEST(SquaredRegret, IsMeanBaselineReinforceWhereThePolicyIsTheOneThatSampled) { // A3
  for (double tau : {0.05, 0.1, 1.0}) {
    const rl_options options{.tau = tau};
    for (int group : {2, 3, 4})
      expect_near(expected_ascent(group, rl_loss::k2, mean_baselines, options),
                  expected_ascent(group, rl_loss::reinforce, mean_baselines, options), 1e-12);
  }
}

TEST(SquaredRegret,
     HasTheGradientOfItsFormula) { // A3: -(2 tau / K) sum (A - tau log s) grad log pi, divided by 2 tau
  auto w = random_world(11, 0.4);
  w.turn_weights.assign(w.turn_weights.size(), 1), w.weights.assign(w.weights.size(), 1);
  const double tau = 0.3;
  const auto now = values(w.input(w.logits).logprobs);
  numbers log_s(5, 0);
  for (std::size_t r = 0; r < now.size(); ++r)
    log_s[static_cast<std::size_t>(w.sequence[r])] += now[r] - w.behaviour[r];
  const auto probabilities = values(at::log_softmax(w.logits, -1).exp());
  numbers expected;
  for (std::size_t r = 0; r < now.size(); ++r)
    for (std::int64_t c = 0; c < 4; ++c) {
      const auto s = static_cast<std::size_t>(w.sequence[r]);
      const double slope =
          (c == w.choices[r] ? 1.0 : 0.0) - probabilities[r * 4 + static_cast<std::size_t>(c)];
      expected.push_back(-(w.advantages[s] - tau * log_s[s]) * slope / 5);
    }
  expect_near(gradient(w.logits, loss(w, rl_loss::k2, {.tau = tau})), expected, 1e-12);
}

TEST(SquaredRegret,
     DescendsAlongPolicyMirrorDescent) { // A2: ascent = (1/K) sum [A grad log pi - tau/2 grad (log s)^2]
  auto w = random_world(12, 0.4);
  w.turn_weights.assign(w.turn_weights.size(), 1), w.weights.assign(w.weights.size(), 1);
  const double tau = 0.2;
  const auto ascent = gradient(w.logits, [&](const at::Tensor& z) {
    const auto in = w.input(z);
    const auto zero = tensor(numbers(5, 0));
    const auto log_pi = zero.index_add(0, in.sequence, in.logprobs);
    const auto log_s = zero.index_add(0, in.sequence, in.logprobs - in.behaviour);
    return (in.advantages * log_pi - log_s * log_s * (tau / 2)).sum() / 5;
  });
  auto descent = gradient(w.logits, loss(w, rl_loss::k2, {.tau = tau}));
  for (double& x : descent) x = -x;
  expect_near(descent, ascent, 1e-10);
}

TEST(SquaredRegret, TakesTheMeanTurnWeightOfASequence) {
  auto w = random_world(13, 0.2);
  auto scaled = w;
  for (std::size_t s = 0; s < 5; ++s) {
    double sum = 0, rows = 0;
    for (std::size_t r = 0; r < w.sequence.size(); ++r)
      if (w.sequence[r] == static_cast<std::int64_t>(s)) sum += w.turn_weights[r], ++rows;
    scaled.advantages[s] *= sum / rows;
  }
  scaled.turn_weights.assign(w.turn_weights.size(), 1);
  expect_near(gradient(w.logits, loss(w, rl_loss::k2, {})),
              gradient(scaled.logits, loss(scaled, rl_loss::k2, {})), 1e-12);
}

TEST(EveryLoss, AgreesWithCentralDifferences) {
  for (std::uint64_t seed : {1, 2, 3}) {
    const auto w = random_world(seed, 0.5);
    const rl_options options{.tau = 0.2, .ratio_cap = 1.5};
    expect_near(gradient(w.logits, loss(w, rl_loss::k2, options)),
                central_differences(w.logits, loss(w, rl_loss::k2, options)), 1e-6);
    // REINFORCE is a surrogate: its weight is a constant. The differences are taken of the loss with that
    // constant.
    const auto fixed =
        values((w.input(w.logits).logprobs - tensor(w.behaviour)).exp().clamp_max(options.ratio_cap));
    const loss_of surrogate = [&](const at::Tensor& z) {
      const auto in = w.input(z);
      const auto sums =
          tensor(numbers(5, 0)).index_add(0, in.sequence, tensor(fixed) * in.turn_weights * in.logprobs);
      return -(in.weights * in.advantages * sums).sum() / w.divisor;
    };
    expect_near(gradient(w.logits, loss(w, rl_loss::reinforce, options)),
                central_differences(w.logits, surrogate), 1e-6);
  }
}

TEST(Reinforce, TruncatesTheRatiosAboveItsCapOnly) { // C1: 0.1, 1, 3 -> 0.1, 1, 2
  auto w = random_world(21, 0);
  w.choices.resize(3), w.sequence = {0, 1, 2}, w.turn_weights.assign(3, 1), w.weights.assign(3, 1);
  w.advantages.assign(3, 1), w.behaviour.assign(3, 0), w.divisor = 1;
  const auto logits = w.logits.narrow(0, 0, 3).clone();
  const auto now = values(w.input(logits).logprobs);
  const numbers ratios{0.1, 1, 3};
  for (std::size_t i = 0; i < 3; ++i) w.behaviour[i] = now[i] - std::log(ratios[i]);
  auto in = w.input(logits);
  in.logprobs = tensor(now).set_requires_grad(true);
  const auto value = value_of(in, rl_loss::reinforce, {.ratio_cap = 2});
  expect_near(values(torch::autograd::grad({value.loss}, {in.logprobs})[0]), {-0.1, -1, -2}, 1e-12);
  EXPECT_EQ(value.clipped, 1);
}

TEST(Reinforce,
     WithALargeCapIsExactImportanceSampling) { // C1: the expectation under another policy, by enumeration
  const numbers other{0.5, 0.3, 0.2};          // samples; bandit_policy learns
  const auto logits = logits_of(bandit_policy);
  numbers total(3, 0);
  for (std::size_t a = 0; a < 3; ++a) {
    const world w{.choices = {static_cast<std::int64_t>(a)},
                  .sequence = {0},
                  .behaviour = {std::log(other[a])},
                  .turn_weights = {1},
                  .advantages = {bandit_rewards[a]},
                  .weights = {1}};
    const auto g = gradient(logits, [&](const at::Tensor& z) {
      return value_of(w.input(z.unsqueeze(0)), rl_loss::reinforce, {.ratio_cap = 1e9}).loss;
    });
    for (std::size_t i = 0; i < 3; ++i) total[i] -= other[a] * g[i];
  }
  expect_near(total, {0.11, -0.135, 0.025}, 1e-12);
}

TEST(ThePtxTerm, AddsItsGradientAndNothingElse) { // X1
  const auto w = random_world(31, 0.3);
  numbers weights;
  random_stream random(5);
  for (std::size_t r = 0; r < w.choices.size(); ++r) weights.push_back(random.uniform());
  const double lambda = 0.37;
  const loss_of ptx = [&](const at::Tensor& z) {
    return cross_entropy(w.input(z).logprobs, tensor(weights), 3.0 / lambda);
  };
  const auto policy = loss(w, rl_loss::k2, {});
  const auto a = gradient(w.logits, policy), b = gradient(w.logits, ptx);
  const auto both = gradient(w.logits, [&](const at::Tensor& z) { return policy(z) + ptx(z); });
  numbers sum;
  for (std::size_t i = 0; i < a.size(); ++i) sum.push_back(a[i] + b[i]);
  expect_near(both, sum, 1e-10);
  expect_near(b, central_differences(w.logits, ptx), 1e-6);
}

TEST(ALoss, IsTheSumOfItsPartsHoweverASetOfSequencesIsCut) { // section 8.3
  const auto w = random_world(41, 0.3);
  for (auto kind : {rl_loss::k2, rl_loss::reinforce}) {
    const auto whole = gradient(w.logits, loss(w, kind, {}));
    numbers parts(whole.size(), 0);
    for (std::int64_t s = 0; s < 5; ++s) {
      world one;
      one.divisor = 5;
      std::vector<std::int64_t> rows;
      for (std::size_t r = 0; r < w.sequence.size(); ++r)
        if (w.sequence[r] == s) {
          rows.push_back(static_cast<std::int64_t>(r));
          one.choices.push_back(w.choices[r]), one.sequence.push_back(0),
              one.behaviour.push_back(w.behaviour[r]);
          one.turn_weights.push_back(w.turn_weights[r]);
        }
      one.advantages = {w.advantages[static_cast<std::size_t>(s)]};
      one.weights = {w.weights[static_cast<std::size_t>(s)]};
      const auto g = gradient(w.logits, [&](const at::Tensor& z) {
        return value_of(one.input(z.index_select(0, indices(rows))), kind, {}).loss;
      });
      for (std::size_t i = 0; i < g.size(); ++i) parts[i] += g[i];
    }
    expect_near(parts, whole, 1e-12);
  }
}

} // namespace troupe::torch_detail

#pragma once

#include "gpu/advantage.hpp"
#include "gpu/torch/losses.hpp"
#include "runtime/base/random.hpp"
#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

// Plain logits in float64, on which the losses have closed forms.
namespace troupe::torch_detail {

using numbers = std::vector<double>;
inline const numbers bandit_policy{0.2, 0.3, 0.5}, bandit_rewards{1, 0, 0.5};

inline at::Tensor tensor(const numbers& from) { return at::tensor(at::ArrayRef<double>(from), at::kDouble); }
inline at::Tensor indices(const std::vector<std::int64_t>& from) {
  return at::tensor(at::ArrayRef<std::int64_t>(from), at::kLong);
}
inline numbers values(const at::Tensor& x) {
  const auto flat = x.contiguous();
  return numbers(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
}

/// A policy of independent softmaxes, one per row of logits, and sequences that are runs of rows.
struct world {
  at::Tensor logits;                      ///< [rows, choices]
  std::vector<std::int64_t> choices;      ///< [rows]
  std::vector<std::int64_t> sequence;     ///< [rows]
  numbers behaviour, proximal, reference; ///< the latter two may be empty
  numbers turn_weights, advantages, weights;
  double divisor = 1;

  loss_input input(const at::Tensor& at_logits) const {
    const auto all = at::log_softmax(at_logits, -1);
    return {.logprobs = all.gather(1, indices(choices).unsqueeze(1)).squeeze(1),
            .behaviour = tensor(behaviour),
            .proximal = proximal.empty() ? at::Tensor() : tensor(proximal),
            .reference = reference.empty() ? at::Tensor() : tensor(reference),
            .turn_weights = tensor(turn_weights),
            .sequence = indices(sequence),
            .advantages = tensor(advantages),
            .weights = tensor(weights),
            .divisor = divisor,
            .token_divisor = static_cast<double>(choices.size())};
  }
};

using loss_of = std::function<at::Tensor(const at::Tensor& logits)>;

inline numbers gradient(const at::Tensor& at_point, const loss_of& loss) {
  auto leaf = at_point.clone().set_requires_grad(true);
  return values(torch::autograd::grad({loss(leaf)}, {leaf})[0]);
}

inline numbers central_differences(const at::Tensor& at_point, const loss_of& loss, double step = 1e-5) {
  numbers out;
  auto point = at_point.clone();
  double* data = point.data_ptr<double>();
  for (std::int64_t i = 0; i < point.numel(); ++i) {
    const double middle = data[i];
    data[i] = middle + step;
    const double above = loss(point).item<double>();
    data[i] = middle - step;
    const double below = loss(point).item<double>();
    data[i] = middle;
    out.push_back((above - below) / (2 * step));
  }
  return out;
}

inline void expect_near(const numbers& found, const numbers& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << "at " << i;
}

inline at::Tensor logits_of(const numbers& probabilities) {
  numbers out;
  for (double p : probabilities) out.push_back(std::log(p));
  return tensor(out);
}

/// The value of a loss, whatever `options` names.
inline loss_value value_of(const loss_input& in, rl_loss kind, rl_options options) {
  options.loss = kind;
  return compute_loss(in, options);
}

/// E over all groups of K draws of the ascent direction of a loss on the bandit, by enumeration.
inline numbers expected_ascent(int group, rl_loss kind,
                               const std::function<numbers(const numbers&)>& baselines,
                               const rl_options& options, bool scaled = false) {
  const auto logits = logits_of(bandit_policy);
  numbers total(3, 0.0);
  std::int64_t groups = 1;
  for (int k = 0; k < group; ++k) groups *= 3;
  for (std::int64_t g = 0; g < groups; ++g) {
    world w;
    numbers rewards;
    double probability = 1;
    for (std::int64_t k = 0, rest = g; k < group; ++k, rest /= 3) {
      const auto choice = static_cast<std::size_t>(rest % 3);
      w.choices.push_back(static_cast<std::int64_t>(choice));
      w.sequence.push_back(k);
      w.behaviour.push_back(std::log(bandit_policy[choice]));
      rewards.push_back(bandit_rewards[choice]);
      probability *= bandit_policy[choice];
    }
    const auto base = baselines(rewards);
    const double spread = deviation(rewards);
    for (std::size_t k = 0; k < rewards.size(); ++k)
      w.advantages.push_back(!scaled      ? rewards[k] - base[k]
                             : spread > 0 ? (rewards[k] - base[k]) / spread
                                          : 0);
    w.proximal = w.behaviour;
    w.turn_weights.assign(rewards.size(), 1), w.weights.assign(rewards.size(), 1), w.divisor = group;
    const auto ascent = gradient(logits, [&](const at::Tensor& z) {
      return value_of(w.input(z.unsqueeze(0).expand({group, 3})), kind, options).loss;
    });
    for (std::size_t i = 0; i < 3; ++i) total[i] -= probability * ascent[i];
  }
  return total;
}

inline numbers leave_one_out(const numbers& rewards) { return *leave_one_out_baselines(rewards); }

inline world random_world(std::uint64_t seed, double off_policy) {
  random_stream random(seed);
  world w;
  numbers logits;
  for (std::int64_t s = 0; s < 5; ++s) {
    const auto rows = 1 + random.below(6);
    for (std::uint64_t r = 0; r < rows; ++r) {
      for (int c = 0; c < 4; ++c) logits.push_back(random.normal());
      w.choices.push_back(static_cast<std::int64_t>(random.below(4)));
      w.sequence.push_back(s);
      w.turn_weights.push_back(0.5 + random.uniform());
    }
    w.advantages.push_back(random.normal());
    w.weights.push_back(0.5 + random.uniform());
  }
  const auto rows = static_cast<std::int64_t>(w.choices.size());
  w.logits = tensor(logits).view({rows, 4});
  w.behaviour.assign(w.choices.size(), 0);
  w.divisor = 5;
  const auto on_policy = values(w.input(w.logits).logprobs);
  for (std::size_t r = 0; r < w.choices.size(); ++r)
    w.behaviour[r] = on_policy[r] + off_policy * random.normal();
  for (double mu : w.behaviour) w.proximal.push_back(mu + 0.5 * off_policy * random.normal());
  for (double pi : on_policy) w.reference.push_back(pi + 0.3 * random.normal());
  return w;
}

inline loss_of loss(const world& w, rl_loss kind, const rl_options& options) {
  return [&w, kind, options](const at::Tensor& z) { return value_of(w.input(z), kind, options).loss; };
}

} // namespace troupe::torch_detail

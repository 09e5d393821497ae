#pragma once

#include "gpu/learner.hpp"
#include <ATen/core/Tensor.h>

namespace troupe::torch_detail {

/// What a loss sees of some whole sequences: one row per masked token, any floating type. Sums over sequences
/// divided by `divisor`, the number of sequences of the whole minibatch, so that a minibatch may be cut
/// anywhere between sequences.
struct loss_input {
  at::Tensor logprobs;     ///< [rows] log pi, with gradient
  at::Tensor behaviour;    ///< [rows] log mu, as recorded
  at::Tensor turn_weights; ///< [rows]
  at::Tensor sequence;     ///< int64 [rows]: which sequence, ascending
  at::Tensor advantages;   ///< [sequences] reward - baseline
  at::Tensor weights;      ///< [sequences]
  double divisor = 1;
};

struct loss_value {
  at::Tensor loss;          ///< to be minimised
  std::int64_t clipped = 0; ///< rows on which a bound acted
};

/// REINFORCE with truncated importance weights:
///   -(1/S) sum_i weight_i A_i sum_t turn_t sg(min(pi_t/mu_t, cap)) log pi_t
loss_value reinforce_loss(const loss_input& in, const rl_options& options);

/// Kimi K2's squared regret (arXiv 2507.20534), divided by 2 tau so that a learning rate means the
/// same for both:
///   (1/S) sum_i weight_i [A_i s_i - tau sum_t (log pi_t - log mu_t)]^2 / (2 tau)
/// s_i is the mean turn weight of the sequence's masked tokens: the regret is one number per sequence, so a
/// decay by turn enters as its mean.
loss_value k2_loss(const loss_input& in, const rl_options& options);

/// -(1/divisor) sum_r weights_r log pi_r: supervised steps and the PTX term (InstructGPT, arXiv 2203.02155).
at::Tensor cross_entropy(const at::Tensor& logprobs, const at::Tensor& weights, double divisor);

/// The function of a loss. A new loss is a value of rl_loss, a function above and a row in losses.cpp.
using loss_function = loss_value (*)(const loss_input&, const rl_options&);
loss_function find_loss(rl_loss kind);

} // namespace troupe::torch_detail

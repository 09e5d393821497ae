#pragma once

#include "gpu/learner.hpp"
#include <ATen/core/Tensor.h>

namespace troupe::torch_detail {

/// What a loss sees of some whole sequences: one row per masked token, any floating type. Divisors are those of the whole
/// minibatch, so that a minibatch may be cut anywhere between sequences.
struct loss_input {
  at::Tensor logprobs;      ///< [rows] log pi, with gradient
  at::Tensor behaviour;     ///< [rows] log mu, as recorded
  at::Tensor proximal;      ///< [rows] log prox, without gradient; undefined for losses that take none
  at::Tensor reference;     ///< [rows] log pi_ref; undefined where kl_weight is 0
  at::Tensor turn_weights;  ///< [rows]
  at::Tensor sequence;      ///< int64 [rows]: which sequence, ascending
  at::Tensor advantages;    ///< [sequences]
  at::Tensor weights;       ///< [sequences]
  double divisor = 1;       ///< sequences
  double token_divisor = 1; ///< masked tokens
};

struct loss_value {
  at::Tensor loss;          ///< to be minimised
  std::int64_t clipped = 0; ///< rows on which a bound acted
};

// The losses, with A_t = A_i turn_t, |y| the masked tokens of a sequence, S the sequences and N the masked tokens of the minibatch,
// weight_i left out, rho = pi/prox, w = prox/mu, c = the mismatch correction, a constant (1 where there is none):
//
//   reinforce      -(1/S) sum_i sum_t sg(min(pi/mu, cap)) A_t log pi
//   k2             (1/S) sum_i [A_i s_i - tau sum_t (log pi - log mu)]^2 / (2 tau): divided by 2 tau so that a learning rate means the
//                  same for all; s_i is the mean turn weight of the sequence, since the regret is one number per sequence
//   ppo, dapo      -(1/N) sum_t c min(rho A_t, clip(rho, 1 - low, 1 + high) A_t)
//   grpo           -(1/S) sum_i (1/|y|) sum_t of the same
//   dr_grpo        -(1/S) sum_i (1/length_constant) sum_t of the same
//   decoupled_ppo  -(1/N) sum_t w min(...): c's bounds act on w
//   gspo           -(1/S) sum_i c min(s A_i, clip(s) A_i), s = exp(mean_t(log pi - log prox))
//   cispo          -(1/N) sum_t c sg(clip(rho)) A_t log pi
//   topr           -(1/S) sum_i sg(A_i < 0 ? min(prod_t pi/mu, 1) : 1) sum_t A_t log pi
//
// Where A < 0, ppo's minimum has no bound in rho: dual_clip, if it is not 0, bounds the term by dual_clip A (arXiv 1912.09729).
// kl_weight adds beta times k3 = e^d - d - 1, d = log pi_ref - log pi, added up in the same way as the loss's terms.

/// -(1/divisor) sum_r weights_r log pi_r: supervised steps and the PTX term (InstructGPT, arXiv 2203.02155).
at::Tensor cross_entropy(const at::Tensor& logprobs, const at::Tensor& weights, double divisor);

/// A loss of the table, with its KL term. One more: a row in gpu/loss_recipes.cpp, a function and a row in losses.cpp.
loss_value compute_loss(const loss_input& in, const rl_options& options);

/// The correction's factors by row, from w = prox/mu; `masked` counts what it left out or cut.
at::Tensor correction_factors(const loss_input& in, const rl_options& options, std::int64_t& masked);

/// log mu + a (sg log pi - log mu) with a = age / (age + progress): the proximal policy between a token's own and the current one, where
/// `age` [rows] is how many versions ago it was sampled and `progress` the share of the update that is done. Exact where
/// logprobs are linear in the version.
at::Tensor interpolated_proximal(const at::Tensor& behaviour, const at::Tensor& logprobs,
                                 const at::Tensor& age, double progress);

} // namespace troupe::torch_detail

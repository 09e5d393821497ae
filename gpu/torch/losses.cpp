#include "gpu/torch/losses.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <limits>
#include <stdexcept>

namespace troupe::torch_detail {

namespace {

using at::Tensor;

constexpr double veto = 1e-4; // a masked sequence holds no ratio below it

/// [sequences]: the sum of each sequence's rows, in the order of the rows.
Tensor by_sequence(const loss_input& in, const Tensor& rows) {
  return at::zeros_like(in.advantages).index_add(0, in.sequence, rows);
}
Tensor lengths(const loss_input& in) { return by_sequence(in, at::ones_like(in.turn_weights)); }
Tensor to_rows(const loss_input& in, const Tensor& sequences) {
  return sequences.index_select(0, in.sequence);
}
Tensor decayed_advantages(const loss_input& in) { return to_rows(in, in.advantages) * in.turn_weights; }
std::int64_t count(const Tensor& mask) { return mask.sum().item<std::int64_t>(); }

// -- how terms by row become one number

enum class sum_kind { token_mean, sequence_mean, sequence_sum, constant };

Tensor add_up(const loss_input& in, const rl_options& o, sum_kind how, const Tensor& rows) {
  const auto sums = by_sequence(in, rows) * in.weights;
  switch (how) {
  case sum_kind::token_mean: return sums.sum() / in.token_divisor;
  case sum_kind::sequence_mean: return (sums / lengths(in)).sum() / in.divisor;
  case sum_kind::constant: return sums.sum() / (in.divisor * o.length_constant);
  case sum_kind::sequence_sum: break;
  }
  return sums.sum() / in.divisor;
}

double low_of(const rl_options& o) { return o.clip_low > 0 ? o.clip_low : recipe_of(o.loss).clip_low; }
double high_of(const rl_options& o) { return o.clip_high > 0 ? o.clip_high : recipe_of(o.loss).clip_high; }

/// min(ratio A, clip(ratio) A), and its dual clip; counts where a bound acted.
Tensor clipped(const Tensor& ratio, const Tensor& advantages, const rl_options& o, std::int64_t& acted) {
  const auto plain = ratio * advantages, bounded = ratio.clamp(1 - low_of(o), 1 + high_of(o)) * advantages;
  auto term = at::minimum(plain, bounded);
  auto acts = bounded.lt(plain);
  if (o.dual_clip > 0) {
    const auto least = advantages * o.dual_clip;
    const auto below = advantages.lt(0).logical_and(term.lt(least));
    term = at::where(below, least.expand_as(term), term);
    acts = acts.logical_or(below);
  }
  acted += count(acts);
  return term;
}

Tensor ratio_to_proximal(const loss_input& in) { return (in.logprobs - in.proximal).exp(); }

// -- the losses: minus the terms that `how` adds up

struct terms {
  Tensor rows;  ///< by row, added up by `how`; or
  Tensor whole; ///< the loss itself
  sum_kind how = sum_kind::sequence_sum;
};
using loss_function = terms (*)(const loss_input&, const rl_options&, std::int64_t& acted);

terms reinforce(const loss_input& in, const rl_options& o, std::int64_t& acted) {
  const auto ratio = (in.logprobs.detach() - in.behaviour).exp();
  acted += count(ratio.gt(o.ratio_cap));
  return {.rows = ratio.clamp_max(o.ratio_cap) * decayed_advantages(in) * in.logprobs};
}

terms k2(const loss_input& in, const rl_options& o, std::int64_t&) {
  const auto scale = by_sequence(in, in.turn_weights) / lengths(in);
  const auto log_ratio = by_sequence(in, in.logprobs - in.behaviour);
  const auto regret = in.advantages * scale - log_ratio * o.tau;
  return {.whole = (in.weights * regret * regret).sum() / (2 * o.tau * in.divisor)};
}

template <sum_kind How>
terms ppo(const loss_input& in, const rl_options& o, std::int64_t& acted) {
  const auto factors = correction_factors(in, o, acted);
  return {.rows = factors * clipped(ratio_to_proximal(in), decayed_advantages(in), o, acted), .how = How};
}

terms gspo(const loss_input& in, const rl_options& o, std::int64_t& acted) {
  const auto size = lengths(in);
  const auto ratio = (by_sequence(in, in.logprobs - in.proximal) / size).exp();
  const auto advantages = in.advantages * by_sequence(in, in.turn_weights) / size;
  const auto factors = by_sequence(in, correction_factors(in, o, acted)) / size;
  return {.whole = -(in.weights * factors * clipped(ratio, advantages, o, acted)).sum() / in.divisor};
}

terms cispo(const loss_input& in, const rl_options& o, std::int64_t& acted) {
  const auto ratio = ratio_to_proximal(in).detach(), bounded = ratio.clamp(1 - low_of(o), 1 + high_of(o));
  acted += count(ratio.ne(bounded));
  return {.rows = correction_factors(in, o, acted) * bounded * decayed_advantages(in) * in.logprobs,
          .how = sum_kind::token_mean};
}

terms topr(const loss_input& in, const rl_options&, std::int64_t& acted) {
  const auto ratio = by_sequence(in, in.logprobs.detach() - in.behaviour).exp();
  const auto negative = in.advantages.lt(0);
  acted += count(negative.logical_and(ratio.gt(1)));
  const auto factors = at::where(negative, ratio.clamp_max(1), at::ones_like(ratio));
  return {.rows = to_rows(in, factors) * decayed_advantages(in) * in.logprobs};
}

loss_function find(rl_loss kind) {
  static constexpr struct {
    rl_loss kind;
    loss_function function;
  } table[] = {{rl_loss::reinforce, reinforce},
               {rl_loss::k2, k2},
               {rl_loss::ppo, ppo<sum_kind::token_mean>},
               {rl_loss::grpo, ppo<sum_kind::sequence_mean>},
               {rl_loss::dr_grpo, ppo<sum_kind::constant>},
               {rl_loss::dapo, ppo<sum_kind::token_mean>},
               {rl_loss::gspo, gspo},
               {rl_loss::cispo, cispo},
               {rl_loss::decoupled_ppo, ppo<sum_kind::token_mean>},
               {rl_loss::topr, topr}};
  for (const auto& row : table)
    if (row.kind == kind) return row.function;
  throw std::invalid_argument("no such loss: " + std::to_string(static_cast<int>(kind)));
}

} // namespace

Tensor correction_factors(const loss_input& in, const rl_options& o, std::int64_t& masked) {
  using enum mismatch_correction;
  const bool weighs = o.loss == rl_loss::decoupled_ppo || o.correction != none;
  if (!weighs) return at::ones_like(in.behaviour);
  const auto by_row = in.proximal.detach() - in.behaviour;
  auto logs = by_row;
  if (o.correction_by != correction_level::token) {
    auto sums = by_sequence(in, by_row);
    if (o.correction_by == correction_level::geometric) sums = sums / lengths(in);
    logs = to_rows(in, sums);
  }
  const auto w = logs.exp();
  if (o.correction == none) return w;
  if (o.correction == truncate) {
    masked += count(w.gt(o.correction_high));
    return w.clamp_max(o.correction_high);
  }
  const auto vetoed = to_rows(in, by_sequence(in, by_row.exp().lt(veto).to(w.scalar_type()))).gt(0);
  const auto kept =
      w.ge(o.correction_low).logical_and(w.le(o.correction_high)).logical_and(vetoed.logical_not());
  masked += w.numel() - count(kept);
  return at::where(kept, w, at::zeros_like(w));
}

Tensor interpolated_proximal(const Tensor& behaviour, const Tensor& logprobs, const Tensor& age,
                             double progress) {
  // The smallest number keeps 0 / 0 at 0: a token of this version, before the first update.
  const auto share = age / (age + progress + std::numeric_limits<double>::min());
  return behaviour + share * (logprobs.detach() - behaviour);
}

loss_value compute_loss(const loss_input& in, const rl_options& options) {
  loss_value out;
  const auto made = find(options.loss)(in, options, out.clipped);
  out.loss = made.whole.defined() ? made.whole : -add_up(in, options, made.how, made.rows);
  if (options.kl_weight > 0) {
    const auto d = in.reference - in.logprobs;
    out.loss = out.loss + add_up(in, options, made.how, d.exp() - d - 1) * options.kl_weight;
  }
  return out;
}

Tensor cross_entropy(const Tensor& logprobs, const Tensor& weights, double divisor) {
  return -(logprobs * weights).sum() / divisor;
}

} // namespace troupe::torch_detail

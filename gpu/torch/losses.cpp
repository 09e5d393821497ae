#include "gpu/torch/losses.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros_like.h>
#include <stdexcept>

namespace troupe::torch_detail {

namespace {
/// [sequences]: the sum of each sequence's rows, in the order of the rows.
at::Tensor by_sequence(const loss_input& in, const at::Tensor& rows) {
  return at::zeros_like(in.advantages).index_add(0, in.sequence, rows);
}
} // namespace

loss_value reinforce_loss(const loss_input& in, const rl_options& options) {
  const auto ratio = (in.logprobs.detach() - in.behaviour).exp();
  const auto factor = ratio.clamp_max(options.ratio_cap) * in.turn_weights;
  const auto sums = by_sequence(in, factor * in.logprobs);
  return {.loss = -(in.weights * in.advantages * sums).sum() / in.divisor,
          .clipped = ratio.gt(options.ratio_cap).sum().item<std::int64_t>()};
}

loss_value k2_loss(const loss_input& in, const rl_options& options) {
  const auto counts = by_sequence(in, at::ones_like(in.turn_weights));
  const auto scale = by_sequence(in, in.turn_weights) / counts;
  const auto log_ratio = by_sequence(in, in.logprobs - in.behaviour);
  const auto regret = in.advantages * scale - log_ratio * options.tau;
  return {.loss = (in.weights * regret * regret).sum() / (2 * options.tau * in.divisor)};
}

at::Tensor cross_entropy(const at::Tensor& logprobs, const at::Tensor& weights, double divisor) {
  return -(logprobs * weights).sum() / divisor;
}

loss_function find_loss(rl_loss kind) {
  static constexpr struct {
    rl_loss kind;
    loss_function function;
  } table[] = {{rl_loss::reinforce, reinforce_loss}, {rl_loss::k2, k2_loss}};
  for (const auto& row : table)
    if (row.kind == kind) return row.function;
  throw std::invalid_argument("no such loss: " + std::to_string(static_cast<int>(kind)));
}

} // namespace troupe::torch_detail

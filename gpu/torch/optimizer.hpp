#pragma once

#include "gpu/learner.hpp"
#include "gpu/torch/layout.hpp"
#include <ATen/core/Tensor.h>

namespace troupe::torch_detail {

/// AdamW (Loshchilov and Hutter 2019: decoupled decay, bias correction, as torch.optim.AdamW) over one flat
/// buffer, with a clip by the global norm before it. Gaps of the layout hold zeros and stay zero.
///   OPT-1  A state restored from `save` continues with the same bits.
class adamw {
public:
  adamw(const optimizer_options& options, std::int64_t size);

  /// The gradient's global norm, in float64.
  static double norm(const at::Tensor& gradient);
  /// One step. `gradient_norm` is that of `gradient`, finite.
  void step(const at::Tensor& weights, const at::Tensor& gradient, double gradient_norm,
            double learning_rate);

  void reset();
  /// "exp_avg.NAME", "exp_avg_sq.NAME" for each tensor, and "step" [1].
  std::map<std::string, host_tensor> save(const flat_layout& layout) const;
  /// Errors: invalid; then nothing has changed.
  expected<void> restore(const flat_layout& layout, const std::map<std::string, host_tensor>& from);

  std::int64_t steps() const { return steps_; }
  /// A deep copy, to go back to when a batch fails.
  adamw copy() const;

private:
  optimizer_options options_;
  at::Tensor moment1_, moment2_;
  std::int64_t steps_ = 0;
};

/// Copies named tensors into a flat buffer and back.
void fill_flat(const flat_layout& layout, const std::map<std::string, host_tensor>& from,
               const std::string& prefix, const at::Tensor& to);
void read_flat(const flat_layout& layout, const at::Tensor& from, const std::string& prefix,
               std::map<std::string, host_tensor>& to);

} // namespace troupe::torch_detail

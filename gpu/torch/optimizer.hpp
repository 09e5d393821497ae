#pragma once

#include "gpu/learner.hpp"
#include "gpu/torch/lanes.hpp"
#include "gpu/torch/layout.hpp"
#include <ATen/core/Tensor.h>

namespace troupe::torch_detail {

/// AdamW (Loshchilov and Hutter 2019: decoupled decay, bias correction, as torch.optim.AdamW) over one flat
/// buffer, with a clip by the global norm before it. Gaps of the layout hold zeros and stay zero.
///
/// As optimizer_kind::muon: each matrix inside the layers by Muon (Jordan 2024; Moonlight, arXiv 2502.16982): momentum with Nesterov's
/// look ahead, made orthogonal by five Newton-Schulz steps, times 0.2 sqrt(its longer side) so that AdamW's learning rates fit, with
/// decoupled decay; everything else by AdamW.
///   OPT-1  A state restored from `save` continues with the same bits.
///   OPT-2  The step's bits do not depend on the number of lanes.
class optimizer {
public:
  optimizer(const optimizer_options& options, const flat_layout& layout, at::Device device = at::kCPU);
  /// AdamW over `size` numbers without names.
  optimizer(const optimizer_options& options, std::int64_t size);

  /// The gradient's global norm, in float64.
  static double norm(const at::Tensor& gradient);
  /// One step. `gradient_norm` is that of `gradient`, finite.
  void step(const at::Tensor& weights, const at::Tensor& gradient, double gradient_norm, double learning_rate,
            lane_pool* lanes = nullptr);

  void reset();
  /// "exp_avg.NAME", "exp_avg_sq.NAME" (AdamW) or "momentum_buffer.NAME" (Muon) for each tensor, and "step" [1].
  std::map<std::string, host_tensor> save(const flat_layout& layout) const;
  /// Errors: invalid; then nothing has changed.
  expected<void> restore(const flat_layout& layout, const std::map<std::string, host_tensor>& from);

  std::int64_t steps() const { return steps_; }
  /// A deep copy, to go back to when a batch fails.
  optimizer copy() const;

private:
  struct range {
    std::int64_t offset, size;
  };
  void adam(const at::Tensor& weights, const at::Tensor& gradient, double scale, double learning_rate);
  void orthogonal_step(const flat_layout::part& part, const at::Tensor& weights, const at::Tensor& gradient,
                       double scale, double learning_rate);
  bool by_muon(const flat_layout::part& part) const;

  optimizer_options options_;
  std::vector<flat_layout::part> matrices_; ///< Muon's
  std::vector<range> ranges_;               ///< AdamW's
  at::Tensor moment1_, moment2_; ///< moment2_ is of AdamW's ranges alone; the rest is never touched
  std::int64_t steps_ = 0;
};

/// `x` / its norm, made orthogonal: singular values near 1. Newton-Schulz, five steps with Muon's coefficients.
at::Tensor orthogonalised(const at::Tensor& x);

/// Copies named tensors into a flat buffer and back.
void fill_flat(const flat_layout& layout, const std::map<std::string, host_tensor>& from,
               const std::string& prefix, const at::Tensor& to);
void read_flat(const flat_layout& layout, const at::Tensor& from, const std::string& prefix,
               std::map<std::string, host_tensor>& to);

} // namespace troupe::torch_detail

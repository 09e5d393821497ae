#pragma once

#include "gpu/learner.hpp"
#include "gpu/torch/batch.hpp"
#include "gpu/torch/lanes.hpp"
#include "gpu/torch/optimizer.hpp"

namespace troupe::torch_detail {

/// The learner on LibTorch. A batch is cut into passes of whole sequences; each lane (thread) has its own
/// gradient, and the lanes' gradients are added in order, so that the result depends on the options and never
/// on timing.
class torch_learner final : public learner {
public:
  /// `start` has been checked.
  torch_learner(const model_weights& start, const learner_options& options);

  expected<learn_stats> sft_step(const std::vector<sft_sample>& batch, double learning_rate) override;
  expected<learn_stats> rl_step(const std::vector<rl_sample>& batch, const std::vector<sft_sample>& ptx,
                                const rl_options& options, std::uint64_t version) override;
  expected<std::vector<float>> logprobs(const std::vector<token>& tokens, double temperature) override;
  weights_ptr snapshot() override;
  model_weights optimizer_state() override;
  expected<void> restore(const model_weights& weights, const model_weights* optimizer) override;
  void reset_optimizer() override { optimizer_.reset(); }

  // -- for tests
  struct pass_result {
    double loss = 0, entropy = 0, kl = 0, max_gap = 0;
    std::int64_t tokens = 0, rows = 0, clipped = 0;
  };
  /// Adds one pass's gradient of its share of the loss to its lane's.
  using pass = std::function<pass_result(const model_parameters&)>;
  /// Loss and gradient of all passes together; the gradient is then in `gradient()`. Changes no weight.
  expected<pass_result> differentiate(const std::vector<pass>& passes);
  const at::Tensor& gradient() const { return lanes_.front().gradient; }
  void add_sft_passes(std::span<const sft_sample> batch, double divisor, bool counted,
                      std::vector<pass>& to) const;
  void add_rl_passes(std::span<const rl_sample> batch, const rl_options& options, std::uint64_t version,
                     std::vector<pass>& to) const;

private:
  struct lane {
    at::Tensor gradient;
    model_parameters parameters; ///< leaves over the shared weights, with this lane's gradient
  };
  expected<learn_stats> optimise(const std::vector<pass>& passes, double learning_rate);

  model_config config_;
  learner_options options_;
  flat_layout layout_;
  rope_tables rope_;
  at::Tensor weights_;
  std::vector<lane> lanes_;
  adamw optimizer_;
  lane_pool pool_;
};

/// Checks and makes. Errors: invalid.
expected<std::unique_ptr<learner>> make_torch_learner(const model_weights& start,
                                                      const learner_options& options);

} // namespace troupe::torch_detail

#pragma once

#include "gpu/learner.hpp"
#include "gpu/torch/adapters.hpp"
#include "gpu/torch/batch.hpp"
#include "gpu/torch/lanes.hpp"
#include "gpu/torch/optimizer.hpp"

namespace troupe::torch_detail {

/// Logprobs by sample and masked token, from other passes over the batch than those that are differentiated.
struct rl_tables {
  logprob_table proximal, reference; ///< empty: none
  logprob_table exact;               ///< the engine's, of the current weights; empty: none
  double progress = 0;               ///< the share of the batch's update that is done
};

/// The learner on LibTorch. A batch is cut into passes of whole sequences; each lane (thread) has its own
/// gradient, and the lanes' gradients are added in order, so that the result depends on the options and never
/// on timing. What is trained is one flat buffer: all weights, or the adapters over frozen ones.
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
  std::map<std::string, host_tensor> adapters() override;
  void reset_optimizer() override { optimizer_.reset(); }

  // -- for tests
  struct pass_result {
    double loss = 0, entropy = 0, kl = 0, max_gap = 0;
    std::int64_t tokens = 0, computed = 0, rows = 0, clipped = 0;
  };
  /// Adds one pass's gradient of its share of the loss to its lane's.
  using pass = std::function<pass_result(const model_parameters&)>;
  /// Loss and gradient of all passes together; the gradient is then in `gradient()`. Changes no weight.
  expected<pass_result> differentiate(const std::vector<pass>& passes);
  const at::Tensor& gradient() const { return lanes_.front().gradient; }
  void add_sft_passes(std::span<const sft_sample> batch, double divisor, bool counted,
                      std::vector<pass>& to) const;
  void add_rl_passes(std::span<const rl_sample> batch, const rl_options& options, std::uint64_t version,
                     std::vector<pass>& to, const rl_tables& tables = {}) const;

private:
  struct lane {
    at::Tensor gradient;
    model_parameters parameters; ///< leaves over the shared weights, with this lane's gradient
  };
  expected<learn_stats> optimise(const std::vector<pass>& passes, double learning_rate);
  model_output run(const model_parameters& parameters, const packed_batch& batch) const;
  packed_batch on_device(const packed_batch& batch) const;
  /// By the current parameters, or by `of`; without gradient.
  expected<logprob_table> masked_logprobs(std::span<const rl_sample> batch, const model_parameters* of);
  /// By the engine's own forward pass over the current weights (learner_options::exact_logprobs).
  expected<logprob_table> engine_logprobs(std::span<const rl_sample> batch);
  expected<rl_tables> other_logprobs(std::span<const rl_sample> batch, const rl_options& options);
  at::Tensor whole_weights() const; ///< flat, adapters merged
  expected<void> restore_adapters(const model_weights& weights, const model_weights& optimizer);

  model_config config_;
  learner_options options_;
  bool adapted_;
  at::Device device_;
  const operations* ops_;
  flat_layout layout_, trained_layout_;
  rope_tables rope_;
  at::Tensor weights_, trained_; ///< trained_ is weights_, or the adapters
  std::optional<model_parameters> reference_;
  std::vector<lane> lanes_;
  optimizer optimizer_;
  lane_pool pool_;
};

/// Checks and makes. Errors: invalid.
expected<std::unique_ptr<learner>> make_torch_learner(const model_weights& start,
                                                      const learner_options& options);

} // namespace troupe::torch_detail

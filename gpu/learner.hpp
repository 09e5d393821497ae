#pragma once

#include "gpu/tokenizer.hpp"
#include "gpu/weights.hpp"
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// A token sequence for supervised learning. weights[i] is the loss weight of predicting tokens[i] from what
/// precedes it.
struct sft_sample {
  std::vector<token> tokens;
  std::vector<float> weights; ///< same length; weights[0] is ignored
};

/// A token sequence that the policy produced, for reinforcement learning. All vectors have the length of
/// `tokens`; position i speaks of the prediction of tokens[i] from tokens[0..i-1].
struct rl_sample {
  std::string id; ///< the trajectory's, for the manifest
  std::vector<token> tokens;
  std::vector<std::uint8_t> mask;        ///< 1 only on tokens the policy sampled
  std::vector<float> behaviour_logprobs; ///< mu, as recorded at sampling; 0 where mask is 0
  std::vector<std::uint64_t> versions;   ///< policy version that sampled it; 0 where mask is 0
  std::vector<float> turn_weights;       ///< gamma^(T-turn) on correct trajectories, else 1
  double temperature = 1.0;              ///< it was sampled at (top-p off for training)
  double reward = 0;
  double baseline = 0; ///< leave-one-out for REINFORCE, group mean for K2 (gpu/advantage.hpp)
  double weight = 1;   ///< of this sample in the loss; 0 never reaches the learner
};

enum class rl_loss : std::uint8_t { reinforce, k2 };

struct rl_options {
  rl_loss loss = rl_loss::k2;
  double tau = 0.1;       ///< K2's regularisation
  double ptx_weight = 0;  ///< lambda of the PTX term
  int minibatches = 2;    ///< optimizer steps per batch
  double ratio_cap = 2.0; ///< REINFORCE: truncated importance weight sg(min(pi/mu, cap)) per token
  double learning_rate = 4e-4;
};

struct optimizer_options {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.0;
  double clip_norm = 1.0;
};

/// What one optimizer step, or the steps of one batch (means), looked like.
struct learn_stats {
  double loss = 0, grad_norm = 0, entropy = 0; ///< norm before the clip; entropy per masked token, tempered
  /// Max over masked tokens of |learner's - engine's| logprob at equal weights: over the tokens of the first
  /// minibatch, before its update, whose version is the learner's own. 0 if there is none.
  double max_logprob_gap = 0;
  double kl = 0; ///< mean over the first minibatch's masked tokens of log mu - log pi (k1), before its update
  double clip_fraction = 0; ///< share of masked tokens whose ratio the cap of REINFORCE truncated
  std::int64_t tokens = 0, loss_tokens = 0;
  double seconds = 0;
};

/// Trains one model. Deterministic: the same state, batch and options give the same bits, whatever the
/// machine's load. Not thread-safe: one owner, on a thread of its own.
class learner {
public:
  virtual ~learner() = default;
  /// One AdamW step on next-token cross-entropy, weighted mean over all weighted tokens. Errors: invalid,
  /// internal (NaN).
  virtual expected<learn_stats> sft_step(const std::vector<sft_sample>& batch, double learning_rate) = 0;
  /// `minibatches` optimizer steps over the batch, in the order given. A non-finite loss or gradient changes
  /// nothing and is an error (internal). `version` is the policy version the weights have before it; `ptx`
  /// may be empty.
  virtual expected<learn_stats> rl_step(const std::vector<rl_sample>& batch,
                                        const std::vector<sft_sample>& ptx, const rl_options& options,
                                        std::uint64_t version) = 0;
  /// Logprob of each token given what precedes it (entry 0 is 0), at this temperature.
  virtual expected<std::vector<float>> logprobs(const std::vector<token>& tokens, double temperature) = 0;
  /// An immutable copy of the current weights.
  virtual weights_ptr snapshot() = 0;
  /// The optimizer's moments and step count, as named float32 tensors and numbers (for a checkpoint).
  virtual model_weights optimizer_state() = 0;
  /// Back to saved weights; without a saved optimizer its moments start afresh. Errors: invalid (which tensor); then
  /// nothing has changed.
  virtual expected<void> restore(const model_weights& weights, const model_weights* optimizer) = 0;
  /// Drops the moments (between warm-up and RL).
  virtual void reset_optimizer() = 0;
};

struct learner_options {
  optimizer_options optimizer;
  int threads = 1;
  int max_tokens_per_pass =
      4096; ///< padded tokens of one forward pass; a batch is cut into as many as it needs
};

/// Loads the LibTorch plugin (libtroupe_torch.so beside the executable, or $TROUPE_PLUGIN_DIR) and makes a
/// learner. Errors: not_found (plugin missing: what to do is said), version, invalid.
expected<std::unique_ptr<learner>> make_learner(const model_weights& start, const learner_options& options);

} // namespace troupe

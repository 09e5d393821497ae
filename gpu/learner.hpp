#pragma once

#include "gpu/loss_recipes.hpp"
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
  double scale = 1;    ///< of the advantage: 1 / the group's standard deviation where the loss asks for it
  double weight = 1;   ///< of this sample in the loss; 0 never reaches the learner
};

struct rl_options {
  rl_loss loss = rl_loss::k2;
  double tau = 0.1;       ///< K2's regularisation
  double ptx_weight = 0;  ///< lambda of the PTX term
  int minibatches = 2;    ///< optimizer steps per batch
  double ratio_cap = 2.0; ///< REINFORCE: truncated importance weight sg(min(pi/mu, cap)) per token
  double learning_rate = 4e-4;
  double clip_low = 0, clip_high = 0; ///< 0: the loss's own (gpu/loss_recipes.hpp)
  double dual_clip = 0;               ///< 0: none
  double length_constant = 1;         ///< dr_grpo divides by it
  double kl_weight = 0;               ///< of the KL to learner_options::reference
  proximal_policy proximal = proximal_policy::recompute;
  mismatch_correction correction = mismatch_correction::none;
  correction_level correction_by = correction_level::token;
  double correction_low = 0.5, correction_high = 2.0;
};

/// muon: matrices between embedding and output by Muon (momentum made orthogonal), all else by AdamW.
enum class optimizer_kind : std::uint8_t { adamw, muon };

struct optimizer_options {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.0;
  double clip_norm = 1.0;
  optimizer_kind kind = optimizer_kind::adamw;
  double momentum = 0.95; ///< of Muon
};

/// Low-rank adapters (Hu et al. 2021): W + (alpha / rank) B A, of which A and B alone are trained. rank 0: all weights are trained.
struct adapter_options {
  int rank = 0;
  double alpha = 16;
  std::vector<std::string> targets{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                   "gate_proj", "up_proj", "down_proj"};
  std::uint64_t seed = 1; ///< of A; B starts at 0
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
  std::int64_t rows = 0; ///< rows that were computed for the tokens: packing leaves rows - tokens unused
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
  /// An immutable copy of the current weights; of adapters, merged into what they adapt.
  virtual weights_ptr snapshot() = 0;
  /// The optimizer's moments and step count, as named float32 tensors and numbers (for a checkpoint). With adapters, those
  /// too: "adapter.NAME".
  virtual model_weights optimizer_state() = 0;
  /// The adapters by PEFT's names, without its prefix ("model.layers.0.self_attn.q_proj.lora_A.weight"); empty without.
  virtual std::map<std::string, host_tensor> adapters() { return {}; }
  /// Back to saved weights; without a saved optimizer its moments start afresh. With adapters: a saved optimizer brings
  /// them, and the weights must be what they make of the start's; without one the weights are the new start and the adapters
  /// begin anew. Errors: invalid (which tensor); then nothing has changed.
  virtual expected<void> restore(const model_weights& weights, const model_weights* optimizer) = 0;
  /// Drops the moments (between warm-up and RL).
  virtual void reset_optimizer() = 0;
};

struct learner_options {
  optimizer_options optimizer;
  int threads = 1;
  int max_tokens_per_pass =
      4096; ///< padded tokens of one forward pass; a batch is cut into as many as it needs
  adapter_options adapters;
  bool recompute_layers = false; ///< activation checkpointing: a third more work, a fraction of the memory
  bool bfloat16 = false;         ///< matrix products of bfloat16; weights, sums and the rest stay float32
  /// rl_step takes logprobs from the engine's own forward pass (gradients from its own): bit for bit what it recorded where weights are
  /// the same. For temperature 1, on the CPU.
  bool exact_logprobs = false;
  std::int64_t most_logits = std::int64_t{1} << 26; ///< numbers of logits that a pass holds at once
  weights_ptr reference;                            ///< pi_ref, for rl_options::kl_weight
  /// cpu; cuda: plain operators of LibTorch there, one lane; plain: the same operators on the CPU, for comparison.
  std::string device = "cpu";
};

/// Whether this processor multiplies bfloat16 faster than float32 (AVX512_BF16 or AMX).
bool has_fast_bfloat16();

/// Loads the LibTorch plugin (libtroupe_torch.so beside the executable, or $TROUPE_PLUGIN_DIR) and makes a
/// learner. Errors: not_found (plugin missing: what to do is said), version, invalid.
expected<std::unique_ptr<learner>> make_learner(const model_weights& start, const learner_options& options);

} // namespace troupe

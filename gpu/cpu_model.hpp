#pragma once

#include "gpu/cpu_kernels.hpp"
#include "gpu/kv_cache.hpp"
#include "gpu/rope.hpp"
#include "gpu/weights.hpp"
#include <functional>

namespace troupe {

/// Cosines and sines of all rotary angles (gpu/rope.hpp), each computed from its own product in double: no error grows with
/// the position.
struct rope_table {
  explicit rope_table(const model_config& config);
  const float* cosine(int position) const { return cosines_.data() + std::ptrdiff_t{position} * half_; }
  const float* sine(int position) const { return sines_.data() + std::ptrdiff_t{position} * half_; }

private:
  int half_;
  std::vector<float> cosines_, sines_;
};

/// One position of one sequence to compute. Rows of a sequence come in order of position.
struct model_row {
  kv_sequence* sequence = nullptr; ///< writable at `position`
  int position = 0;
  token current = 0, previous = -1; ///< previous: -1 at position 0
  bool wants_logits = false;
};

/// Weights in the layout of the kernels, and the forward pass over them. Immutable: several threads may run
/// it at once on rows of different sequences, each with a workspace of its own.
class cpu_model {
public:
  /// Throws std::invalid_argument when a tensor is missing or has another shape than the config asks for.
  cpu_model(const model_weights& weights, const cpu_kernels& kernels);

  struct workspace {
    aligned_floats x, normed, qkv, mixed, gates, logits_in, logits_out, scores, head;
    std::vector<const float*> blocks;
  };
  workspace make_workspace() const;
  /// What is done with the logits of a row that wants them: padded(vocab_size) floats, -infinity beyond the
  /// vocabulary, that may be changed.
  using consumer = std::function<void(int row, float* logits)>;
  /// Fills keys and values of every row's position and hands on the logits of the rows that want them, in order.
  /// Does not append to the sequences.
  void forward(const model_row* rows, int count, const rope_table& rope, workspace& space,
               const consumer& consume) const;

  const model_config& config() const { return config_; }

private:
  struct layer {
    std::vector<float> attention_norm, mlp_norm; ///< padded with zeros
    std::vector<float> qkv_bias, out_bias;       ///< as wide as the outputs they are added to, or empty
    std::vector<float> query_norm, key_norm;     ///< of one head, padded, or empty
    int window = 0;                              ///< positions that are seen; 0: all
    packed_matrix qkv, out, gate_up, down;
  };
  void forward_tile(const model_row* rows, int first, int count, const rope_table& rope, workspace& space,
                    const consumer& consume) const;
  void embed(const model_row& row, float* x) const;
  void norm_head(float* head, const std::vector<float>& weight, workspace& space) const;
  void attention(const layer& at, int index, const model_row* rows, int count, const rope_table& rope,
                 workspace& space) const;

  model_config config_;
  const cpu_kernels* kernels_;
  kv_layout layout_;
  int hidden_, query_, key_value_, mlp_;    ///< padded widths
  std::vector<float> embedding_, previous_; ///< [vocab][hidden]; previous_ = P times the embedding, or empty
  std::vector<layer> layers_;
  std::vector<float> final_norm_;
  packed_matrix head_;
};

} // namespace troupe

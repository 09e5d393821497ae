#pragma once

#include "gpu/barrier.hpp"
#include "gpu/cpu_kv_memory.hpp"
#include "gpu/model_backend.hpp"
#include "gpu/rope.hpp"
#include "gpu/weight_matrix.hpp"
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

/// One of the threads that compute the same rows together.
struct crew_member {
  int rank = 0, size = 1;
  barrier* meeting = nullptr; ///< of all of them; not used by one alone
  void meet() const {
    if (size > 1) meeting->wait();
  }
  bool has(int item) const { return item % size == rank; }
  /// Its share of `count` things in order.
  std::pair<int, int> share(int count) const { return {count * rank / size, count * (rank + 1) / size}; }
};

/// Weights in the layout of the kernels, and the forward pass over them. Immutable: several threads may run
/// it at once on rows of different sequences, each with a workspace of its own, or as a crew on the same rows. The bits are the same.
class cpu_model {
public:
  /// Throws std::invalid_argument when a tensor is missing, has another shape than the config asks for, or holds what is no number.
  cpu_model(const model_weights& weights, const kernel_set& kernels);

  struct workspace {
    aligned_floats x, qkv, mixed, gates, logits_out; ///< those of a crew's first member are the crew's
    aligned_floats normed, logits_in, scores, head, scratch;
    quantised_rows inputs;
    std::vector<const float*> blocks;
  };
  workspace make_workspace() const;
  /// What is done with the logits of a row that wants them: padded(vocab_size) floats, -infinity beyond the
  /// vocabulary, that may be changed.
  using consumer = std::function<void(int row, float* logits)>;
  /// Fills keys and values of every row's position and hands on the logits of the rows that want them, each to one of the crew.
  /// `memory` holds the blocks of the rows' sequences, which are not appended to.
  void forward(const model_row* rows, int count, const rope_table& rope, const cpu_kv_memory& memory,
               workspace& shared, workspace& own, const consumer& consume, const crew_member& me = {}) const;

  const model_config& config() const { return config_; }

private:
  struct layer {
    std::vector<float> attention_norm, mlp_norm; ///< padded with zeros
    std::vector<float> qkv_bias, out_bias;       ///< as wide as the outputs they are added to, or empty
    std::vector<float> query_norm, key_norm;     ///< of one head, padded, or empty
    int window = 0;                              ///< positions that are seen; 0: all
    weight_matrix qkv, out, gate_up, down;
  };
  /// What several functions of one pass need.
  struct pass {
    const model_row* rows;
    int count;
    const rope_table& rope;
    const cpu_kv_memory& memory;
    workspace &shared, &own;
    const crew_member& me;
  };
  void forward_tile(const pass& now, int first, const consumer& consume) const;
  void embed(const model_row& row, float* x) const;
  void norm_head(float* head, const std::vector<float>& weight, workspace& space) const;
  void write_keys_and_values(const layer& at, int index, const pass& now) const;
  void attend(const layer& at, int index, const pass& now) const;
  void feed_forward(const layer& at, const pass& now) const;
  /// Rows as inputs of matrix products, in this member's own memory.
  matrix_input input(const float* x, std::ptrdiff_t stride, int width, int rows, workspace& own) const;
  matrix_input normed(const float* x, const std::vector<float>& weight, const pass& now) const;

  model_config config_;
  kernel_set set_;
  const cpu_kernels* kernels_;
  kv_layout layout_;
  int hidden_, query_, key_value_, mlp_;    ///< padded widths
  std::vector<float> embedding_, previous_; ///< [vocab][hidden]; previous_ = P times the embedding, or empty
  stored_tensor stored_embedding_;          ///< instead of embedding_, where it is kept as the file has it
  std::size_t embedding_row_ = 0;           ///< bytes of a row of it
  std::vector<layer> layers_;
  std::vector<float> final_norm_;
  weight_matrix head_;
};

} // namespace troupe

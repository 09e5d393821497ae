#pragma once

#include "gpu/torch/model.hpp"
#include "gpu/torch/paged_cache.hpp"

namespace troupe::torch_detail {

/// One pass (gpu/torch/engine_passes.hpp) as a device takes it: views of one int64 tensor, so that it is one copy.
struct pass_inputs {
  std::int64_t sequences = 0, length = 0, width = 0;
  at::Tensor tokens, previous; ///< [sequences * length]; previous -1 at position 0
  at::Tensor positions;        ///< [sequences * length]; padding: 0
  at::Tensor blocks,
      slots; ///< [sequences * length]: where the place's keys and values go; padding: the cache's spill()
  at::Tensor table;  ///< [sequences, width]: a sequence's blocks; padding: the cache's blank()
  at::Tensor wanted; ///< places whose logits are asked for; undefined: all

  static std::int64_t numbers(std::int64_t sequences, std::int64_t length, std::int64_t width,
                              std::int64_t wanted) {
    return 5 * sequences * length + sequences * width + wanted;
  }
  /// `all` has `numbers(...)`, on any device.
  static pass_inputs view(const at::Tensor& all, std::int64_t sequences, std::int64_t length,
                          std::int64_t width, std::int64_t wanted);
};

/// A decoder-only transformer of one of the families of model_config over a paged cache: writes keys and values of every place, attends to
/// what the sequence has up to it (scaled dot products over gathered blocks), and gives the logits of the wanted places: float32
/// [wanted, padded(vocab_size)], -infinity beyond the vocabulary.
///
/// Matrix products take the parameters' type; positions, norms, the residual stream and logits are float32. It only launches: nothing in it
/// waits for the device or asks it for a number, so that a graph can record it.
at::Tensor engine_logits(const model_config& config, const model_parameters& parameters,
                         const rope_tables& rope, const paged_cache& cache, const pass_inputs& in);

} // namespace troupe::torch_detail

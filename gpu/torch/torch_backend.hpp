#pragma once

#include "gpu/engine_core.hpp"
#include "gpu/model_backend.hpp"
#include "gpu/torch/device_graph.hpp"
#include "gpu/torch/engine_passes.hpp"
#include <optional>

namespace troupe::torch_detail {

struct torch_backend_options {
  std::string device = "cuda"; ///< cuda: the first one; plain: the same operators on the CPU, for comparison
  graph_recorder record = {};  ///< of decoding; none: graph_recorder_for(device)
  std::optional<pass_limits> passes = {}; ///< none: by the model's sizes
};

/// A forward pass by LibTorch's operators, for the same scheduler that drives the CPU's kernels. engine_limits::mode: exact is float32
/// throughout, fast multiplies in bfloat16 and keeps keys and values in it (gpu/torch/engine_forward.hpp).
///
/// A step's rows become passes (gpu/torch/engine_passes.hpp). While the device computes one, the host fills the inputs of the next and samples
/// from the logits of the one before: inputs and logits have two page-locked buffers each.
///
/// Errors: invalid (an unknown device, or none of that kind: says what was found), exhausted (the cache does not fit the device's memory).
expected<std::unique_ptr<model_backend>> make_torch_backend(const model_config& config,
                                                            const engine_limits& limits,
                                                            const torch_backend_options& options);

} // namespace troupe::torch_detail

#pragma once

#include "gpu/weights.hpp"
#include <string>
#include <vector>

namespace troupe::torch_detail {

/// Where each tensor of a model lies in one flat buffer of float32. Optimizer, clip and export see one long
/// vector; the model sees matrices, of which those multiplied together (q, k, v; gate, up) lie side by side
/// and form one.
///   LAY-1  Every fused matrix starts at a multiple of 16 floats (a cache line); gaps stay zero for ever.
struct flat_layout {
  struct part { ///< one named tensor
    std::string name;
    std::vector<std::int64_t> shape;
    std::int64_t offset, size;
  };
  struct matrix { ///< one or several parts side by side; columns 0: a vector
    std::int64_t offset, rows, columns;
  };
  std::vector<part> parts;
  std::vector<matrix> matrices; ///< in the order of model_parameters (gpu/torch/model.hpp)
  std::int64_t total = 0;
};

flat_layout make_layout(const model_config& config);

/// Errors: invalid (a tensor missing, of another shape, not finite, or not asked for by the config; which,
/// found, expected).
expected<void> check_tensors(const flat_layout& layout, const std::map<std::string, host_tensor>& tensors,
                             const std::string& prefix = "");

} // namespace troupe::torch_detail

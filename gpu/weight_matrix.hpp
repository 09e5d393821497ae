#pragma once

#include "gpu/engine_core.hpp"
#include "gpu/quantised_kernels.hpp"
#include <variant>

namespace troupe {

/// The instructions of one engine.
struct kernel_set {
  const cpu_kernels* floats;
  const quantised_kernels* quantised;
  arithmetic mode = arithmetic::exact;
};

/// Inputs of matrix products, one row for each position.
struct matrix_input {
  const float* x;
  std::ptrdiff_t stride;
  const quantised_rows* quantised; ///< the same, in fast mode
};

/// Several tensors with the same input side by side, each padded to 16 outputs, in the layout of the kernels. In exact mode they are
/// float32, or quantised as their file has them with the same results; in fast mode all are quantised.
class weight_matrix {
public:
  weight_matrix() = default;
  /// Errors: std::invalid_argument names the tensor that holds what is no number.
  weight_matrix(const model_weights& weights, const std::vector<std::string>& names, arithmetic mode);

  int in() const { return in_; }
  int out() const { return out_; } ///< padded
  int panels() const { return out_ / lanes; }

  /// Outputs of the panels [begin, end). `scratch`: room for 64 * in() floats.
  void multiply(const matrix_input& in, int rows, int begin, int end, float* y, std::ptrdiff_t y_stride,
                bool add, const kernel_set& kernels, float* scratch) const;

private:
  using part = std::variant<packed_matrix, quantised_matrix>;
  int in_ = 0, out_ = 0;
  std::vector<part> parts_;
};

} // namespace troupe

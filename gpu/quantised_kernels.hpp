#pragma once

#include "gpu/cpu_kernels.hpp"
#include "gpu/quantised_matrix.hpp"

namespace troupe {

/// Kernels over quantised weights. Like the float32 ones each output is a fixed sequence of correctly rounded operations, the same for every
/// instruction set, number of rows and place in a batch:
///   QKER-1  exact: the weight is number * scale, then + minimum, each rounded; then as KER-1. These are the bits of the float32 kernel on
///           dequantised weights.
///   QKER-2  fast: for each block of 32 inputs, in order, the sum of integer products is exact; then a fused multiply-add of it with
///           (weight scale * input scale), then one of the minimum with the input's offset.
///   QKER-3  Inputs are rounded to 16 bits, ties to even; the largest of a block is 32,639 steps. With 8 bits one large input of a block would
///           leave nothing of the other 31 (docs/decisions/0018).
struct quantised_kernels {
  /// Outputs of the panels [begin, end) of `w`: y[r][o] (+)= sum_k x[r][k] w[o][k]. `scratch`: room for 64 * w.in floats.
  void (*multiply_exact)(const float* x, std::ptrdiff_t x_stride, int rows, const quantised_matrix& w,
                         int begin, int end, float* y, std::ptrdiff_t y_stride, bool add, float* scratch);
  /// The same of inputs that are quantised.
  void (*multiply_fast)(const quantised_rows& x, int rows, const quantised_matrix& w, int begin, int end,
                        float* y, std::ptrdiff_t y_stride, bool add);
  /// Row `row` of `to` from n floats (n a multiple of 16), zeros beyond.
  void (*quantise)(const float* x, int n, quantised_rows& to, int row);
};

const quantised_kernels& quantised_kernels_for(instruction_set which);

extern const quantised_kernels portable_quantised_kernels, avx2_quantised_kernels, avx512_quantised_kernels;

} // namespace troupe

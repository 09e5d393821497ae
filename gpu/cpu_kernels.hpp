#pragma once

#include "gpu/aligned_floats.hpp"
#include <cstddef>
#include <cstdint>
#include <vector>

namespace troupe {

/// The unit of all kernels: 16 float32 lanes, whatever the machine's registers hold. Widths are padded to it
/// with zeros.
inline constexpr int lanes = 16;
constexpr int padded(int n) { return (n + lanes - 1) / lanes * lanes; }

/// A weight matrix [out, in] cut into panels of 16 outputs, each [in][16], so that a kernel reads it in one
/// sweep.
struct packed_matrix {
  int in = 0, out = 0; ///< out is padded: a multiple of 16
  aligned_floats data;
};

/// Parts with the same input side by side (query, key, value), each padded to 16 outputs. `rows[i]` outputs
/// of `parts[i]`.
packed_matrix pack(const std::vector<const float*>& parts, const std::vector<int>& rows, int in);

/// Where one head of one sequence finds its past: blocks of 16 positions, in each a tile of keys
/// [head_dim][16] and a tile of values [16][padded(head_dim)].
struct attention_past {
  const float* const* blocks;
  std::ptrdiff_t key_offset, value_offset;
  int positions; ///< `first` .. positions-1 are seen
  int first = 0; ///< less than 16: whole blocks before it are left out of `blocks`
};

/// float32 kernels. Each output is a fixed sequence of correctly rounded operations, the same for every
/// instruction set, number of rows and place in a batch:
///   KER-1  multiply: one accumulator per output, fused multiply-adds over k = 0, 1, ...
///   KER-2  attend: a score is fused multiply-adds over the head's dimensions in order; the weighted sum of
///   values has four
///          accumulators (position mod 4), added as (0+1)+(2+3).
///   KER-3  sums over a vector: one accumulator per lane, then halves are added: 8, 4, 2, 1.
struct cpu_kernels {
  /// y[r][o] (+)= sum_k x[r][k] w[o][k] for r < rows, o < w.out. Strides in floats.
  void (*multiply)(const float* x, std::ptrdiff_t x_stride, int rows, const packed_matrix& w, float* y,
                   std::ptrdiff_t y_stride, bool add);
  /// The same for `count` panels [in][16], one after the other.
  void (*multiply_panels)(const float* x, std::ptrdiff_t x_stride, int rows, const float* panels, int in,
                          int count, float* y, std::ptrdiff_t y_stride, bool add);
  /// y = x / sqrt(mean(x^2) + eps) * weight, over n values; all three padded with zeros.
  void (*rms_norm)(const float* x, const float* weight, float* y, int n, float eps);
  /// Turns (head[i], head[i + half]) by the angle whose cosine and sine are given (rotate-half).
  void (*rotate)(float* head, const float* cosine, const float* sine, int half);
  /// out[0 .. padded(head_dim)) = softmax(q . keys * scale) . values. `scores` has room for
  /// padded(positions).
  void (*attend)(const float* q, const attention_past& past, int head_dim, float scale, float* scores,
                 float* out);
  /// out = gate / (1 + exp(-gate)) * up, n a multiple of 16. May work in place.
  void (*swiglu)(const float* gate, const float* up, float* out, int n);
  float (*maximum)(const float* x, int n); ///< n a multiple of 16, not 0
  /// out = exp((x - offset) * scale), 0 where the exponent is below -86; n a multiple of 16. About 1 ulp.
  void (*exponentials)(const float* x, float offset, float scale, float* out, int n);
};

enum class instruction_set : std::uint8_t { portable, avx2, avx512 };

/// The widest that this machine has.
instruction_set best_instruction_set();
bool has(instruction_set which);
const cpu_kernels& kernels_for(instruction_set which);

extern const cpu_kernels portable_kernels, avx2_kernels, avx512_kernels;

} // namespace troupe

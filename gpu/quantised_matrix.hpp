#pragma once

#include "gpu/aligned_floats.hpp"
#include "gpu/files/ggml_blocks.hpp"
#include <cstdint>
#include <string_view>
#include <vector>

namespace troupe {

/// Weights [out, in] kept as small integers: weight = scale * (number - zero) + minimum, with one scale (and one minimum) for each 32
/// inputs of an output.
///
/// Laid out for kernels that compute 16 outputs at once: panels of 16 outputs; a panel is first its scales, for each block of 32 inputs
/// 16 float16 (then 16 float16 minima), then its numbers, for each block groups of 4 inputs: 16 outputs x 4 numbers of one byte. With 4
/// bits a byte holds a number of group 2i low and of group 2i+1 high.
struct quantised_matrix {
  static constexpr int block = 32; ///< inputs that share a scale

  int in = 0;  ///< a multiple of 32
  int out = 0; ///< a multiple of 16
  int bits = 8, zero = 0;
  bool has_minimum = false;
  aligned_floats data;

  int blocks() const { return in / block; }
  std::size_t scale_bytes() const { return static_cast<std::size_t>(blocks()) * (has_minimum ? 64 : 32); }
  std::size_t panel_bytes() const {
    const auto whole =
        scale_bytes() + static_cast<std::size_t>(blocks()) * static_cast<std::size_t>(64 * bits);
    return (whole + 63) / 64 * 64;
  }
  std::size_t numbers_at() const { return (scale_bytes() + 63) / 64 * 64; } ///< in a panel
  const std::uint8_t* panel(int index) const {
    return reinterpret_cast<const std::uint8_t*>(data.data()) +
           static_cast<std::size_t>(index) * panel_bytes();
  }
};

/// One part of a matrix: rows of GGUF blocks.
struct block_rows {
  std::string_view data;
  int rows = 0;
};

/// Whether tensors of this type fit a quantised_matrix without changing any weight: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
bool can_stay_quantised(ggml_type type);
/// Parts side by side, each padded to 16 outputs with zeros. `in` is a multiple of 32.
quantised_matrix quantised_panels(ggml_type type, const std::vector<block_rows>& parts, int in);
/// The same of float32 rows, rounded to 8 bits as GGUF's Q8_0 does; `in` is filled up with zeros to a multiple of 32.
quantised_matrix quantised_panels(const std::vector<const float*>& parts, const std::vector<int>& rows,
                                  int in);

/// Inputs of such a matrix, rounded to 16 bits: input = scale * number, |number| <= largest, one scale for each 32 of a row. A number is
/// 256 * high + low, both of 8 bits with a sign, so that two products of bytes give that of 16 bits.
struct quantised_rows {
  static constexpr int largest = 127 * 256 + 127;

  int in = 0;                         ///< a multiple of 32
  std::vector<std::int8_t> numbers;   ///< of each block of each row: 32 low ones, 32 high ones
  std::vector<std::int32_t> sums;     ///< of the numbers of each block
  std::vector<float> scales, offsets; ///< of each block; offset = scale * sum

  void resize(int rows, int width) {
    in = (width + quantised_matrix::block - 1) / quantised_matrix::block * quantised_matrix::block;
    const auto blocks =
        static_cast<std::size_t>(rows) * static_cast<std::size_t>(in / quantised_matrix::block);
    if (scales.size() >= blocks) return;
    numbers.resize(blocks * 2 * quantised_matrix::block);
    sums.resize(blocks), scales.resize(blocks), offsets.resize(blocks);
  }
};

} // namespace troupe

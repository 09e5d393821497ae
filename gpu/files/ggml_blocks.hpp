#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace troupe {

/// The number formats of GGUF tensors that are read (ggml's type numbers). A quantised type stores blocks of weights with common scales.
enum class ggml_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30,
};

struct ggml_layout {
  std::string_view name;
  std::uint32_t weights, bytes; ///< of one block
};

/// nullopt for a type that is not read.
std::optional<ggml_layout> ggml_layout_of(std::uint32_t type);

/// Writes the `count` weights of whole blocks as float32, bit for bit as the Python package gguf dequantises them.
void dequantise(ggml_type type, const char* blocks, std::size_t count, float* to);

} // namespace troupe

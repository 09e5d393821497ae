#pragma once

#include <bit>
#include <cstdint>

namespace troupe {

/// bfloat16: the upper half of a float32.
inline float from_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

/// Rounded to nearest, ties to even; a NaN stays one.
inline std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

/// IEEE 754 binary16, subnormal numbers, infinities and NaNs included.
inline float from_float16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, rest = bits & 0x7FFFu;
  if (rest >= 0x7C00) return std::bit_cast<float>(sign | 0x7F800000 | ((rest & 0x3FF) << 13));
  if (rest >= 0x400) return std::bit_cast<float>(sign | ((rest << 13) + (112u << 23)));
  const float small = static_cast<float>(rest) * 0x1p-24f; // exact
  return sign ? -small : small;
}

/// Rounded to nearest, ties to even; too large becomes infinite.
inline std::uint16_t to_float16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const std::uint32_t size = bits & 0x7FFFFFFF;
  if (size > 0x7F800000) return sign | 0x7E00;
  if (size >= 0x47800000) return sign | 0x7C00;
  if (size < 0x38800000) { // subnormal: adding 0.5 leaves its bits, rounded, at the end of the sum
    const float sum = std::bit_cast<float>(size) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(sum) - 0x3F000000));
  }
  return static_cast<std::uint16_t>(sign | ((size - (112u << 23) + 0xFFF + ((size >> 13) & 1)) >> 13));
}

} // namespace troupe

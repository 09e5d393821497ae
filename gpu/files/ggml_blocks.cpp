#include "gpu/files/ggml_blocks.hpp"

#include "gpu/files/half.hpp"
#include <array>
#include <cstring>

namespace troupe {

namespace {

// Each function takes one block. Products and sums are rounded one by one (ISO C++ mode contracts nothing), in the order of
// gguf/quants.py.

const std::uint8_t* bytes_of(const char* block) { return reinterpret_cast<const std::uint8_t*>(block); }

float half_at(const std::uint8_t* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, 2);
  return from_float16(bits);
}

void q4_0(const std::uint8_t* b, float* to) { // half d, 16 bytes of nibbles: low ones first
  const float d = half_at(b);
  for (int i = 0; i < 16; ++i) {
    to[i] = d * static_cast<float>((b[2 + i] & 15) - 8);
    to[16 + i] = d * static_cast<float>((b[2 + i] >> 4) - 8);
  }
}

void q4_1(const std::uint8_t* b, float* to) { // half d, half m, nibbles
  const float d = half_at(b), m = half_at(b + 2);
  for (int i = 0; i < 16; ++i) {
    to[i] = d * static_cast<float>(b[4 + i] & 15) + m;
    to[16 + i] = d * static_cast<float>(b[4 + i] >> 4) + m;
  }
}

/// The 5-bit numbers of a block: a word of fifth bits, then nibbles.
std::array<int, 32> five_bits(const std::uint8_t* at) {
  std::uint32_t high;
  std::memcpy(&high, at, 4);
  std::array<int, 32> out;
  for (int i = 0; i < 16; ++i) {
    out[i] = (at[4 + i] & 15) | static_cast<int>((high >> i) & 1) << 4;
    out[16 + i] = (at[4 + i] >> 4) | static_cast<int>((high >> (16 + i)) & 1) << 4;
  }
  return out;
}

void q5_0(const std::uint8_t* b, float* to) {
  const float d = half_at(b);
  const auto q = five_bits(b + 2);
  for (int i = 0; i < 32; ++i) to[i] = d * static_cast<float>(q[i] - 16);
}

void q5_1(const std::uint8_t* b, float* to) {
  const float d = half_at(b), m = half_at(b + 2);
  const auto q = five_bits(b + 4);
  for (int i = 0; i < 32; ++i) to[i] = d * static_cast<float>(q[i]) + m;
}

void q8_0(const std::uint8_t* b, float* to) {
  const float d = half_at(b);
  for (int i = 0; i < 32; ++i) to[i] = static_cast<float>(static_cast<std::int8_t>(b[2 + i])) * d;
}

struct scale_and_minimum {
  float scale, minimum;
};

/// Of the eight parts of a K block: half d, half m, then 12 bytes with eight 6-bit scales and eight 6-bit minima.
std::array<scale_and_minimum, 8> k_scales(const std::uint8_t* b) {
  const float d = half_at(b), m = half_at(b + 2);
  const auto* s = b + 4;
  std::array<scale_and_minimum, 8> out;
  for (int i = 0; i < 4; ++i) {
    out[i] = {d * static_cast<float>(s[i] & 63), m * static_cast<float>(s[4 + i] & 63)};
    out[4 + i] = {d * static_cast<float>((s[8 + i] & 15) | ((s[i] >> 2) & 0x30)),
                  m * static_cast<float>((s[8 + i] >> 4) | ((s[4 + i] >> 2) & 0x30))};
  }
  return out;
}

void q4_k(const std::uint8_t* b, float* to) { // 8 parts of 32 weights; two parts share 32 bytes of nibbles
  const auto parts = k_scales(b);
  const auto* q = b + 16;
  for (int part = 0; part < 8; ++part)
    for (int i = 0; i < 32; ++i) {
      const int number = (q[part / 2 * 32 + i] >> (part % 2 * 4)) & 15;
      to[part * 32 + i] = parts[part].scale * static_cast<float>(number) - parts[part].minimum;
    }
}

void q5_k(const std::uint8_t* b, float* to) { // as q4_k, with bit `part` of 32 more bytes on top
  const auto parts = k_scales(b);
  const auto *high = b + 16, *q = b + 48;
  for (int part = 0; part < 8; ++part)
    for (int i = 0; i < 32; ++i) {
      const int number = ((q[part / 2 * 32 + i] >> (part % 2 * 4)) & 15) | ((high[i] >> part) & 1) << 4;
      to[part * 32 + i] = parts[part].scale * static_cast<float>(number) - parts[part].minimum;
    }
}

void q6_k(const std::uint8_t* b,
          float* to) { // 128 bytes of nibbles, 64 of upper two bits, 16 int8 scales, half d
  const auto *low = b, *high = b + 128, *scales = b + 192;
  const float d = half_at(b + 208);
  for (int at = 0; at < 256; ++at) {
    const int half = at / 128, part = at % 128 / 32, i = at % 32; // in a half: four parts of 32
    const int nibble = (low[half * 64 + part % 2 * 32 + i] >> (part / 2 * 4)) & 15;
    const int upper = (high[half * 32 + i] >> (part * 2)) & 3;
    const float scale = d * static_cast<float>(static_cast<std::int8_t>(scales[at / 16]));
    to[at] = scale * static_cast<float>((nibble | upper << 4) - 32);
  }
}

template <class Block>
void each_block(const char* from, std::size_t count, float* to, ggml_layout layout, Block block) {
  for (std::size_t done = 0; done < count; done += layout.weights, from += layout.bytes)
    block(bytes_of(from), to + done);
}

} // namespace

std::optional<ggml_layout> ggml_layout_of(std::uint32_t type) {
  switch (static_cast<ggml_type>(type)) {
  case ggml_type::f32: return ggml_layout{"F32", 1, 4};
  case ggml_type::f16: return ggml_layout{"F16", 1, 2};
  case ggml_type::bf16: return ggml_layout{"BF16", 1, 2};
  case ggml_type::q4_0: return ggml_layout{"Q4_0", 32, 18};
  case ggml_type::q4_1: return ggml_layout{"Q4_1", 32, 20};
  case ggml_type::q5_0: return ggml_layout{"Q5_0", 32, 22};
  case ggml_type::q5_1: return ggml_layout{"Q5_1", 32, 24};
  case ggml_type::q8_0: return ggml_layout{"Q8_0", 32, 34};
  case ggml_type::q4_k: return ggml_layout{"Q4_K", 256, 144};
  case ggml_type::q5_k: return ggml_layout{"Q5_K", 256, 176};
  case ggml_type::q6_k: return ggml_layout{"Q6_K", 256, 210};
  }
  return std::nullopt;
}

void dequantise(ggml_type type, const char* blocks, std::size_t count, float* to) {
  const auto layout = *ggml_layout_of(static_cast<std::uint32_t>(type));
  switch (type) {
  case ggml_type::f32: std::memcpy(to, blocks, count * 4); break;
  case ggml_type::f16:
    each_block(blocks, count, to, layout, [](auto* b, float* t) { *t = half_at(b); });
    break;
  case ggml_type::bf16:
    each_block(blocks, count, to, layout, [](auto* b, float* t) {
      std::uint16_t bits;
      std::memcpy(&bits, b, 2);
      *t = from_bfloat16(bits);
    });
    break;
  case ggml_type::q4_0: each_block(blocks, count, to, layout, q4_0); break;
  case ggml_type::q4_1: each_block(blocks, count, to, layout, q4_1); break;
  case ggml_type::q5_0: each_block(blocks, count, to, layout, q5_0); break;
  case ggml_type::q5_1: each_block(blocks, count, to, layout, q5_1); break;
  case ggml_type::q8_0: each_block(blocks, count, to, layout, q8_0); break;
  case ggml_type::q4_k: each_block(blocks, count, to, layout, q4_k); break;
  case ggml_type::q5_k: each_block(blocks, count, to, layout, q5_k); break;
  case ggml_type::q6_k: each_block(blocks, count, to, layout, q6_k); break;
  }
}

} // namespace troupe

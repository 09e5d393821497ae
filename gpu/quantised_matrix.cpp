#include "gpu/quantised_matrix.hpp"

#include "gpu/cpu_kernels.hpp"
#include "gpu/files/half.hpp"
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace troupe {

namespace {

constexpr int block = quantised_matrix::block;

/// What a block says, whatever its type.
struct opened_block {
  std::uint16_t scale = 0, minimum = 0;
  std::uint8_t numbers[block];
};

struct block_format {
  ggml_type type;
  int bits, zero;
  bool minimum;
};
constexpr block_format formats[] = {{ggml_type::q4_0, 4, 8, false},
                                    {ggml_type::q4_1, 4, 0, true},
                                    {ggml_type::q5_0, 8, 16, false},
                                    {ggml_type::q5_1, 8, 0, true},
                                    {ggml_type::q8_0, 8, 128, false}};

const block_format* format_of(ggml_type type) {
  for (auto& format : formats)
    if (format.type == type) return &format;
  return nullptr;
}

opened_block open(ggml_type type, const std::uint8_t* from) {
  opened_block out;
  const auto take_half = [&] {
    std::uint16_t bits;
    std::memcpy(&bits, from, 2);
    from += 2;
    return bits;
  };
  out.scale = take_half();
  if (type == ggml_type::q4_1 || type == ggml_type::q5_1) out.minimum = take_half();
  if (type == ggml_type::q8_0) {
    for (int i = 0; i < block; ++i) out.numbers[i] = from[i] ^ 0x80; // + 128
    return out;
  }
  std::uint32_t fifth = 0;
  if (type == ggml_type::q5_0 || type == ggml_type::q5_1) {
    std::memcpy(&fifth, from, 4);
    from += 4;
  }
  for (int i = 0; i < block / 2; ++i) {
    out.numbers[i] = static_cast<std::uint8_t>((from[i] & 15) | ((fifth >> i) & 1) << 4);
    out.numbers[i + 16] = static_cast<std::uint8_t>(from[i] >> 4 | ((fifth >> (i + 16)) & 1) << 4);
  }
  return out;
}

void put(quantised_matrix& to, int row, int at, const opened_block& from) {
  auto* panel = const_cast<std::uint8_t*>(to.panel(row / lanes));
  const int lane = row % lanes;
  auto* scales = panel + static_cast<std::size_t>(at) * (to.has_minimum ? 64 : 32);
  std::memcpy(scales + 2 * lane, &from.scale, 2);
  if (to.has_minimum) std::memcpy(scales + 32 + 2 * lane, &from.minimum, 2);
  auto* numbers =
      panel + to.numbers_at() + static_cast<std::size_t>(at) * static_cast<std::size_t>(64 * to.bits);
  for (int group = 0; group < block / 4; ++group)
    for (int j = 0; j < 4; ++j) {
      const auto number = from.numbers[group * 4 + j];
      if (to.bits == 8)
        numbers[group * 64 + lane * 4 + j] = number;
      else
        numbers[group / 2 * 64 + lane * 4 + j] |= static_cast<std::uint8_t>(number << (group % 2 * 4));
    }
}

quantised_matrix sized(int in, const std::vector<int>& rows, int bits, int zero, bool minimum) {
  quantised_matrix out{.in = in, .out = 0, .bits = bits, .zero = zero, .has_minimum = minimum, .data = {}};
  for (int n : rows) out.out += padded(n);
  out.data = aligned_floats(out.panel_bytes() * static_cast<std::size_t>(out.out / lanes) / sizeof(float));
  return out;
}

} // namespace

bool can_stay_quantised(ggml_type type) { return format_of(type) != nullptr; }

quantised_matrix quantised_panels(ggml_type type, const std::vector<block_rows>& parts, int in) {
  const auto* format = format_of(type);
  if (!format || in % block != 0) throw std::invalid_argument("this type does not stay quantised");
  std::vector<int> rows;
  for (auto& part : parts) rows.push_back(part.rows);
  auto out = sized(in, rows, format->bits, format->zero, format->minimum);
  const auto bytes = ggml_layout_of(static_cast<std::uint32_t>(type))->bytes;
  int first = 0;
  for (auto& part : parts) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(part.data.data());
    for (int row = 0; row < part.rows; ++row)
      for (int at = 0; at < out.blocks(); ++at, from += bytes) put(out, first + row, at, open(type, from));
    first += padded(part.rows);
  }
  return out;
}

quantised_matrix quantised_panels(const std::vector<const float*>& parts, const std::vector<int>& rows,
                                  int in) {
  auto out = sized((in + block - 1) / block * block, rows, 8, 128, false);
  int first = 0;
  for (std::size_t part = 0; part < parts.size(); first += padded(rows[part++]))
    for (int row = 0; row < rows[part]; ++row)
      for (int at = 0; at < out.blocks(); ++at) {
        const float* from =
            parts[part] + static_cast<std::size_t>(row) * static_cast<std::size_t>(in) + at * block;
        const int count = std::min(block, in - at * block);
        float most = 0;
        for (int i = 0; i < count; ++i) most = std::max(most, std::abs(from[i]));
        opened_block to;
        const float scale = most / 127;
        to.scale = to_float16(scale);
        for (int i = 0; i < block; ++i) {
          const float number = i < count && scale > 0 ? std::round(from[i] / scale) : 0.0f;
          to.numbers[i] = static_cast<std::uint8_t>(static_cast<int>(number) + 128);
        }
        put(out, first + row, at, to);
      }
  return out;
}

} // namespace troupe

#include "gpu/files/half.hpp"
#include "gpu/quantised_kernels.hpp"
#include "runtime/base/random.hpp"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

namespace troupe {
namespace {

constexpr int in = 160, out = 48, rows = 21; // 21: every size of tile of every instruction set

/// Blocks of random numbers, and what they are worth.
struct random_matrix {
  quantised_matrix packed;
  std::vector<float> values; ///< [out][in]
};

random_matrix made_of(ggml_type type, random_stream& random) {
  const auto layout = *ggml_layout_of(static_cast<std::uint32_t>(type));
  std::string blocks(static_cast<std::size_t>(in * out) / layout.weights * layout.bytes, '\0');
  for (char& c : blocks) c = static_cast<char>(random.below(256));
  const bool minimum = type == ggml_type::q4_1 || type == ggml_type::q5_1;
  for (std::size_t at = 0; at < blocks.size(); at += layout.bytes) {
    const auto scale = to_float16(static_cast<float>(0.01 + 0.01 * random.uniform()));
    const auto least = to_float16(static_cast<float>(0.1 * random.normal()));
    std::memcpy(blocks.data() + at, &scale, 2);
    if (minimum) std::memcpy(blocks.data() + at + 2, &least, 2);
  }
  random_matrix made{quantised_panels(type, {{blocks, out}}, in), std::vector<float>(in * out)};
  dequantise(type, blocks.data(), made.values.size(), made.values.data());
  return made;
}

/// Like the inputs of real models: ordinary numbers, and a few that are thousands of times as large; a block of zeros; both ends.
std::vector<float> with_outliers(random_stream& random) {
  std::vector<float> x(rows * in);
  for (float& one : x) one = static_cast<float>(random.normal());
  for (int r = 0; r < rows; ++r) {
    x[static_cast<std::size_t>(r * in) + random.below(in)] = random.chance(0.5) ? 3000.0f : -3000.0f;
    std::fill_n(x.begin() + r * in + 64, 32, 0.0f);
    x[static_cast<std::size_t>(r * in) + 100] = 7, x[static_cast<std::size_t>(r * in) + 101] = -7;
  }
  return x;
}

constexpr ggml_type types[] = {ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0, ggml_type::q5_1,
                               ggml_type::q8_0};

/// Every set of kernels that this machine runs, AVX-512's with VNNI.
std::vector<const quantised_kernels*> all_kernels() {
  std::vector<const quantised_kernels*> all;
  for (auto set : {instruction_set::portable, instruction_set::avx2, instruction_set::avx512})
    if (has(set)) all.push_back(&quantised_kernels_for(set));
  return all;
}

TEST(FastProducts,
     AreThoseOfDoublePrecisionButForTheRoundingOfTheirInputsAlsoWithOutliers) { // QKER-2, QKER-3
  random_stream random(11);
  for (auto type : types) {
    const auto w = made_of(type, random);
    const auto x = with_outliers(random);
    for (const auto* kernels : all_kernels()) {
      quantised_rows inputs;
      inputs.resize(rows, in);
      for (int r = 0; r < rows; ++r) kernels->quantise(x.data() + r * in, in, inputs, r);
      std::vector<float> y(rows * out, 1.0f);
      kernels->multiply_fast(inputs, rows, w.packed, 0, out / lanes, y.data(), out, true);
      for (int r = 0; r < rows; ++r)
        for (int o = 0; o < out; ++o) {
          double wanted = 1, allowed = 1e-6;
          for (int block = 0; block < in; block += 32) {
            double most = 0, weights = 0, products = 0;
            for (int k = block; k < block + 32; ++k) {
              const double input = x[static_cast<std::size_t>(r * in + k)];
              const double weight = w.values[static_cast<std::size_t>(o * in + k)];
              wanted += input * weight;
              most = std::max(most, std::abs(input)), weights += std::abs(weight);
              products += std::abs(input * weight);
            }
            // half of QKER-3's step for each input, and float32's rounding of parts that may be larger than their sum
            allowed += most / 32639 / 2 * weights + 2e-6 * (products + most);
          }
          EXPECT_NEAR(y[static_cast<std::size_t>(r * out + o)], wanted, allowed)
              << "type " << static_cast<int>(type) << ", row " << r << ", output " << o;
        }
    }
  }
}

TEST(FastProducts, HaveTheSameBitsOnEveryInstructionSetAndForEveryNumberOfRows) { // QKER-2
  random_stream random(12);
  for (auto type : types) {
    const auto w = made_of(type, random);
    const auto x = with_outliers(random);
    std::vector<float> wanted;
    for (const auto* kernels : all_kernels())
      for (int together : {1, 2, 3, 7, rows}) {
        std::vector<float> y(rows * out);
        for (int first = 0; first < rows; first += together) {
          const int count = std::min(together, rows - first);
          quantised_rows inputs;
          inputs.resize(count, in);
          for (int r = 0; r < count; ++r) kernels->quantise(x.data() + (first + r) * in, in, inputs, r);
          kernels->multiply_fast(inputs, count, w.packed, 0, out / lanes, y.data() + first * out, out, false);
        }
        if (wanted.empty()) wanted = y;
        EXPECT_EQ(std::memcmp(wanted.data(), y.data(), y.size() * sizeof(float)), 0);
      }
  }
}

} // namespace
} // namespace troupe

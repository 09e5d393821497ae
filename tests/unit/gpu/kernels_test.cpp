#include "gpu/cpu_kernels.hpp"
#include "runtime/base/random.hpp"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

namespace troupe {
namespace {

std::vector<instruction_set> available() {
  std::vector<instruction_set> out;
  for (auto set : {instruction_set::portable, instruction_set::avx2, instruction_set::avx512})
    if (has(set)) out.push_back(set);
  return out;
}

std::vector<float> normals(random_stream& random, std::size_t n, double scale = 1) {
  std::vector<float> out(n);
  for (float& x : out) x = static_cast<float>(scale * random.normal());
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Multiply, IsOneChainOfFusedMultiplyAddsWhateverTheRowsAndTheInstructionSet) { // KER-1
  random_stream random(1);
  const int in = 37, out = 150; // ten panels, the last one padded
  const auto w = normals(random, static_cast<std::size_t>(in) * out);
  const auto packed = pack({w.data()}, {out}, in);
  const auto x = normals(random, 20 * in);
  std::vector<float> wanted(20 * static_cast<std::size_t>(packed.out));
  for (int r = 0; r < 20; ++r)
    for (int o = 0; o < out; ++o) {
      float sum = 0;
      for (int k = 0; k < in; ++k) sum = std::fma(x[r * in + k], w[o * in + k], sum);
      wanted[r * packed.out + o] = sum;
    }
  for (auto set : available())
    for (int rows = 1; rows <= 20; ++rows) {
      std::vector<float> y(static_cast<std::size_t>(rows) * packed.out, 9.0f);
      kernels_for(set).multiply(x.data(), in, rows, packed, y.data(), packed.out, false);
      EXPECT_TRUE(same_bits(y, {wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(y.size())}));
      auto twice = y;
      kernels_for(set).multiply(x.data(), in, rows, packed, twice.data(), packed.out, true);
      for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(twice[i], y[i] + y[i]);
    }
}

/// fma(x[1], w[1], x[0] * w[0]) by the portable kernels; the first product must be exact.
float portable_fma(const float (&x)[2], const float (&w)[2]) {
  const auto packed = pack({w}, {1}, 2);
  float y[lanes];
  portable_kernels.multiply(x, 2, 1, packed, y, lanes, false);
  return y[0];
}

TEST(ThePortableFusedMultiplyAdd, RoundsOnceLikeTheHardwares) {
  random_stream random(2);
  const auto odd = [&] {
    const double size = std::ldexp(1.0 + static_cast<double>(random.below(1 << 12)) / 4096,
                                   static_cast<int>(random.below(60)) - 30);
    return static_cast<float>(random.chance(0.5) ? size : -size);
  };
  for (int round = 0; round < 20'000; ++round) {
    const float x[2] = {odd(), odd()}, w[2] = {odd(), odd()};
    EXPECT_EQ(portable_fma(x, w), std::fma(x[1], w[1], x[0] * w[0]));
  }
}

TEST(ThePortableFusedMultiplyAdd, RoundsOnceWhereTwoRoundingsWouldGoWrong) {
  // the product is the exact middle between two floats, and the addend is too small for a double to remember
  const float root = 1 + 0x1p-12f, tiny = 0x1p-40f;
  for (float sign : {1.0f, -1.0f})
    for (float side : {1.0f, -1.0f, 0.0f}) {
      const float x[2] = {side * tiny, sign * root}, w[2] = {tiny, root};
      EXPECT_EQ(portable_fma(x, w), std::fma(x[1], w[1], x[0] * w[0])) << sign << " " << side;
    }
  random_stream random(4);
  for (int round = 0; round < 5'000; ++round) { // results below the smallest normal float
    const auto small = [&] {
      return static_cast<float>(std::ldexp(1.0 + random.uniform(), -70 - static_cast<int>(random.below(6))));
    };
    const float x[2] = {0x1p-75f, small()}, w[2] = {random.chance(0.5) ? 0x1p-72f : -0x1p-73f, small()};
    EXPECT_EQ(portable_fma(x, w), std::fma(x[1], w[1], x[0] * w[0]));
  }
}

TEST(Exponentials, AreAccurateAndTheSameOnEveryInstructionSet) {
  std::vector<float> x;
  for (double v = -95; v < 88; v += 0.00137) x.push_back(static_cast<float>(v));
  x.resize(x.size() / lanes * lanes);
  std::vector<float> first;
  for (auto set : available()) {
    std::vector<float> y(x.size());
    kernels_for(set).exponentials(x.data(), 0, 1, y.data(), static_cast<int>(x.size()));
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i] < -86)
        EXPECT_EQ(y[i], 0);
      else
        worst = std::max(worst, std::abs(y[i] / std::exp(double{x[i]}) - 1));
    }
    EXPECT_LT(worst, 1.5e-7);
    if (first.empty()) first = y;
    EXPECT_TRUE(same_bits(first, y));
  }
}

TEST(SmallKernels, GiveTheSameBitsOnEveryInstructionSet) { // KER-3
  random_stream random(3);
  const auto gate = normals(random, 96, 20), up = normals(random, 96), head = normals(random, 60);
  std::vector<float> cosine(30), sine(30);
  for (int i = 0; i < 30; ++i) cosine[i] = std::cos(0.37f * i), sine[i] = std::sin(0.37f * i);
  std::vector<std::vector<float>> results;
  for (auto set : available()) {
    const auto& k = kernels_for(set);
    std::vector<float> all(96);
    k.swiglu(gate.data(), up.data(), all.data(), 96);
    for (int i = 0; i < 96; ++i)
      EXPECT_NEAR(all[i], gate[i] / (1 + std::exp(-double{gate[i]})) * up[i], 1e-5);
    std::vector<float> normed(96), turned = head;
    k.rms_norm(up.data(), gate.data(), normed.data(), 96, 1e-5f);
    k.rotate(turned.data(), cosine.data(), sine.data(), 30);
    EXPECT_NEAR(turned[7], head[7] * cosine[7] - head[37] * sine[7], 1e-6);
    EXPECT_NEAR(turned[59], head[59] * cosine[29] + head[29] * sine[29], 1e-6);
    all.insert(all.end(), normed.begin(), normed.end());
    all.insert(all.end(), turned.begin(), turned.end());
    all.push_back(k.maximum(gate.data(), 96));
    results.push_back(all);
    EXPECT_TRUE(same_bits(results.front(), all));
  }
}

TEST(Attend, IsASoftmaxOverThePastOnEveryInstructionSet) { // KER-2
  random_stream random(4);
  for (int head_dim : {12, 32, 80})
    for (int positions : {1, 5, 16, 33, 100}) {
      const int row = padded(head_dim), blocks = padded(positions) / lanes;
      std::vector<std::vector<float>> memory;
      std::vector<const float*> list;
      for (int b = 0; b < blocks; ++b)
        memory.push_back(normals(random, static_cast<std::size_t>(lanes) * (head_dim + row)));
      for (auto& block : memory) list.push_back(block.data());
      const auto q = normals(random, head_dim);
      const auto key = [&](int p, int d) { return memory[p / lanes][d * lanes + p % lanes]; };
      const auto value = [&](int p, int d) {
        return memory[p / lanes][lanes * head_dim + p % lanes * row + d];
      };
      std::vector<double> wanted(head_dim);
      double total = 0;
      for (int p = 0; p < positions; ++p) {
        double dot = 0;
        for (int d = 0; d < head_dim; ++d) dot += double{q[d]} * key(p, d);
        total += std::exp(0.3 * dot);
        for (int d = 0; d < head_dim; ++d) wanted[d] += std::exp(0.3 * dot) * value(p, d);
      }
      std::vector<float> first;
      for (auto set : available()) {
        std::vector<float> scores(padded(positions)), out(row);
        kernels_for(set).attend(q.data(), {list.data(), 0, lanes * head_dim, positions}, head_dim, 0.3f,
                                scores.data(), out.data());
        out.resize(head_dim);
        for (int d = 0; d < head_dim; ++d) EXPECT_NEAR(out[d], wanted[d] / total, 2e-5);
        if (first.empty()) first = out;
        EXPECT_TRUE(same_bits(first, out));
      }
    }
}

} // namespace
} // namespace troupe

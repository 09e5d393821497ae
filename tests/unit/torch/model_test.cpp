#include "gpu/torch/model.hpp"

#include "gpu/torch/kernels.hpp"
#include "gpu/torch/memory_pool.hpp"
#include "small_model.hpp"
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <cmath>
#include <torch/csrc/autograd/autograd.h>

namespace troupe::torch_detail {

namespace {

using sequences = std::vector<std::vector<token>>;

packed_batch packed(const sequences& tokens, double temperature = 1.0, std::size_t every = 1) {
  std::vector<sequence_ref> refs;
  for (const auto& t : tokens) refs.push_back({&t, temperature});
  return pack(refs, [=](std::size_t, std::size_t t) { return t % every == 0; });
}

struct setting {
  model_config config;
  flat_layout layout;
  rope_tables rope;
  at::Tensor flat; ///< float32

  explicit setting(const model_config& c, std::uint64_t seed = 1)
      : config(c),
        layout(make_layout(c)),
        rope(make_rope_tables(c)),
        flat(at::zeros({layout.total}, at::kFloat)) {
    fill_flat(layout, random_weights(c, seed).tensors, "", flat);
  }

  /// The weighted sum of the logprobs, and its gradient by the flat weights, in the type of `weights`.
  double loss(const at::Tensor& weights, const packed_batch& batch, const operations& ops,
              at::Tensor* gradient, const run_settings& settings = {}) const {
    const auto g = gradient ? at::zeros_like(weights) : at::Tensor();
    const auto parameters = view_parameters(config, layout, weights, g);
    const auto out = run_model(config, parameters, rope, batch, ops, settings);
    auto factors = at::zeros({batch.queries}, at::kDouble);
    random_stream random(77);
    for (std::int64_t i = 0; i < batch.queries; ++i) factors.data_ptr<double>()[i] = random.normal();
    const auto sum = (out.logprobs.to(at::kDouble) * factors).sum();
    if (gradient) torch::autograd::backward(std::vector<at::Tensor>{sum}, {}), *gradient = g;
    return sum.item<double>();
  }
};

sequences some_sequences(const model_config& c, const std::vector<std::size_t>& lengths,
                         std::uint64_t seed = 5) {
  random_stream random(seed);
  sequences out;
  for (auto n : lengths) out.push_back(random_tokens(random, n, c.vocab_size));
  return out;
}

void expect_close(const at::Tensor& found, const at::Tensor& expected, double relative) {
  const auto a = found.to(at::kDouble), b = expected.to(at::kDouble);
  EXPECT_LE((a - b).norm().item<double>(), relative * b.norm().item<double>());
  EXPECT_LE((a - b).abs().max().item<double>(), 20 * relative * b.abs().max().item<double>());
}

std::vector<model_config> shapes() {
  auto tiny = small_config();
  auto plain = tiny;
  plain.previous_token_map = false, plain.tie_word_embeddings = false;
  auto wide = tiny; // whole vector registers, one key-value head
  wide.hidden_size = 32, wide.head_dim = 32, wide.num_attention_heads = 2, wide.num_key_value_heads = 1;
  wide.intermediate_size = 48, wide.vocab_size = 64, wide.num_hidden_layers = 3;
  auto biased = plain; // Qwen2: biases, windows from a layer on, its own output
  biased.family = model_family::qwen2, biased.qkv_bias = biased.output_bias = true, biased.sliding_window = 5,
  biased.first_window_layer = 1;
  auto normed = plain; // Qwen3: norms of heads, scaled positions
  normed.family = model_family::qwen3, normed.qk_norm = true, normed.tie_word_embeddings = true;
  normed.scaling = {.type = rope_scaling::kind::yarn, .factor = 4, .original_max_position_embeddings = 16};
  auto windowed = plain; // Mistral: a window wider than a block of queries
  windowed.family = model_family::mistral, windowed.sliding_window = 19;
  return {tiny, plain, wide, biased, normed, windowed};
}

} // namespace

TEST(TheReferenceModel, HasTheGradientOfCentralDifferences) {
  for (const auto& config : shapes()) {
    const setting s(config);
    const auto batch = packed(some_sequences(config, {7, 3}), 0.8, 2);
    auto weights = s.flat.to(at::kDouble);
    at::Tensor gradient;
    s.loss(weights, batch, reference_operations, &gradient);
    random_stream random(3);
    for (int i = 0; i < 60; ++i) {
      const auto at = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(s.layout.total)));
      double& w = weights.data_ptr<double>()[at];
      const double middle = w, step = 1e-5;
      w = middle + step;
      const double above = s.loss(weights, batch, reference_operations, nullptr);
      w = middle - step;
      const double below = s.loss(weights, batch, reference_operations, nullptr);
      w = middle;
      EXPECT_NEAR(gradient.data_ptr<double>()[at], (above - below) / (2 * step), 1e-6) << "weight " << at;
    }
  }
}

TEST(TheFusedModel, AgreesWithTheReferenceInValueAndGradient) { // OPS-1
  use_memory_pool();
  for (const auto& config : shapes()) {
    const setting s(config, 2);
    for (const auto& lengths : {std::vector<std::size_t>{5}, {2, 16, 17, 33}, {64, 31, 1 + 32, 2}}) {
      const auto batch = packed(some_sequences(config, lengths), 0.7, 2);
      at::Tensor fused, reference;
      const double a = s.loss(s.flat, batch, fused_operations, &fused);
      const double b = s.loss(s.flat.to(at::kDouble), batch, reference_operations, &reference);
      EXPECT_NEAR(a, b, 2e-4);
      expect_close(fused, reference, 1e-5);
    }
  }
}

TEST(TheFusedModel, HasTheSameBitsWhenItsLayersAreComputedAgain) {
  for (const auto& config : shapes()) {
    const setting s(config, 4);
    const auto batch = packed(some_sequences(config, {17, 33, 2}), 0.9, 2);
    at::Tensor kept, again;
    EXPECT_EQ(s.loss(s.flat, batch, fused_operations, &kept),
              s.loss(s.flat, batch, fused_operations, &again, {.recompute_layers = true}));
    EXPECT_TRUE(kept.equal(again));
  }
}

TEST(TheFusedModel, HasTheSameGradientWhenItsLogitsComeInPieces) {
  for (const auto& config : shapes()) {
    const setting s(config, 5);
    const auto batch = packed(some_sequences(config, {64, 64, 40}), 0.9, 1);
    at::Tensor whole, pieces;
    const double a = s.loss(s.flat, batch, fused_operations, &whole);
    const double b =
        s.loss(s.flat, batch, fused_operations, &pieces, {.most_logits = 40L * config.vocab_size});
    EXPECT_NEAR(a, b, 1e-5 * std::abs(a));
    expect_close(pieces, whole, 1e-6);
  }
}

TEST(TheModelInBfloat16, StaysNearFloat32InValueAndGradient) {
  for (const auto& config : shapes()) {
    const setting s(config, 6);
    const auto batch = packed(some_sequences(config, {20, 33}), 1.0, 1);
    at::Tensor whole, half;
    const double a = s.loss(s.flat, batch, fused_operations, &whole);
    const double b = s.loss(s.flat, batch, bfloat16_operations, &half);
    EXPECT_NE(a, b);
    EXPECT_NEAR(a, b, 0.05 * std::abs(a) + 0.5);
    expect_close(half, whole, 0.05); // 8 bits of mantissa, two layers
  }
}

TEST(TheFusedModel, KeepsItsGapsAndPaddingOutOfTheGradient) { // OPS-2, LAY-1
  const setting s(small_config());
  at::Tensor gradient;
  s.loss(s.flat, packed(some_sequences(s.config, {9, 4})), fused_operations, &gradient);
  std::vector<bool> used(static_cast<std::size_t>(s.layout.total));
  for (const auto& part : s.layout.parts)
    for (std::int64_t i = 0; i < part.size; ++i) used[static_cast<std::size_t>(part.offset + i)] = true;
  for (std::int64_t i = 0; i < s.layout.total; ++i)
    EXPECT_TRUE(used[static_cast<std::size_t>(i)] || gradient.data_ptr<float>()[i] == 0.f) << i;
}

TEST(TheFusedModel, LooksAtNoOtherSequenceAndNotAhead) {
  const setting s(small_config());
  auto tokens = some_sequences(s.config, {20, 11});
  const auto logprobs = [&](const sequences& of) {
    const auto out = run_model(s.config, view_parameters(s.config, s.layout, s.flat, {}), s.rope, packed(of),
                               fused_operations);
    const float* data = out.logprobs.data_ptr<float>();
    return std::vector<float>(data, data + out.logprobs.numel());
  };
  const auto before = logprobs(tokens);
  auto other = tokens;
  other[0][15] = (other[0][15] + 1) % s.config.vocab_size;
  const auto after = logprobs(other);
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (i >= 14 && i < 19)
      EXPECT_NE(before[i], after[i]) << i; // its own prediction and all behind it
    else
      EXPECT_EQ(before[i], after[i]) << i;
  }
}

TEST(TheModel, GivesTheLogprobsOfHuggingFacesLlama) {
  // transformers 5.23.0, LlamaForCausalLM in float64, weights by the formula below in the order of their
  // names.
  model_config c;
  c.vocab_size = 13, c.hidden_size = 8, c.num_hidden_layers = 2, c.num_attention_heads = 2,
  c.num_key_value_heads = 1;
  c.head_dim = 4, c.intermediate_size = 10, c.max_position_embeddings = 32, c.tie_word_embeddings = false;
  model_weights weights{.config = c, .tensors = {}};
  int k = 0;
  for (const auto& [name, shape] : expected_shapes(c)) {
    auto& t = weights.tensors[name];
    t.shape = shape;
    const std::int64_t size = shape.size() == 1 ? shape[0] : shape[0] * shape[1];
    for (std::int64_t i = 0; i < size; ++i) {
      const double wave = std::sin(0.7 * static_cast<double>(i) + k);
      t.data.push_back(static_cast<float>(shape.size() == 1 ? 1 + 0.1 * wave : 0.5 * wave));
    }
    ++k;
  }
  const std::vector<token> tokens{1, 5, 2, 12, 0, 7, 7, 3, 9, 4};
  const std::vector<double> expected{-4.18353882, -3.26609420, -6.49423661, -3.43850550, -3.07241324,
                                     -5.71264408, -1.57553656, -1.29428982, -5.23758367};
  const auto found = small_learner(weights)->logprobs(tokens, 1.0);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), tokens.size());
  for (std::size_t i = 1; i < tokens.size(); ++i) EXPECT_NEAR((*found)[i], expected[i - 1], 1e-5) << i;
}

TEST(TheEntropy, IsThatOfTheTemperedDistribution) {
  // logits (2, 1, 0) at T = 0.7: p = (0.770960, 0.184761, 0.044278)
  const auto h = at::zeros({1, 1}, at::kFloat) + 1, weight = at::zeros({3, 1}, at::kFloat);
  weight.data_ptr<float>()[0] = 2, weight.data_ptr<float>()[1] = 1;
  const auto target = at::zeros({1}, at::kLong);
  const auto sharpness = at::zeros({1}, at::kFloat) + 1 / 0.7;
  const double p[] = {0.770960, 0.184761, 0.044278};
  double entropy = 0;
  for (double x : p) entropy -= x * std::log(x);
  for (const auto* ops : {&fused_operations, &reference_operations}) {
    const auto [logprobs, entropies] = ops->token_logprobs(h, weight, target, sharpness, 1 << 20);
    EXPECT_NEAR(logprobs.item<float>(), std::log(p[0]), 2e-6);
    EXPECT_NEAR(entropies.item<float>(), entropy, 5e-6);
  }
}

TEST(EveryInstructionSet, ComputesTheSameAttention) {
  random_stream random(4);
  const std::vector<std::int32_t> offsets{0, 19, 20, 37};
  std::vector<float> cosines(64 * 3), sines(64 * 3), qkv(40 * 8 * 6), d_out(40 * 4 * 6);
  for (std::size_t i = 0; i < cosines.size(); ++i)
    cosines[i] = std::cos(0.1f * float(i)), sines[i] = std::sin(0.1f * float(i));
  for (float& x : qkv) x = static_cast<float>(random.normal());
  for (float& x : d_out) x = static_cast<float>(random.normal());
  attention_shape shape{offsets.data(), 3, 40, 4, 2, 6, cosines.data(), sines.data(), 0};
  const auto run = [&](const kernel_table& table) {
    std::vector<float> out(40 * 4 * 6), sums(40 * 4), d_qkv(qkv.size());
    std::vector<float> scratch(static_cast<std::size_t>(table.attention_scratch(19, 6)));
    table.attention(shape, qkv.data(), out.data(), sums.data(), scratch.data());
    table.attention_backward(shape, qkv.data(), out.data(), sums.data(), d_out.data(), d_qkv.data(),
                             scratch.data());
    out.insert(out.end(), d_qkv.begin(), d_qkv.end());
    return out;
  };
  for (int window : {0, 7}) {
    shape.window = window;
    const auto best = run(kernels()), portable = run(kernels_portable);
    for (std::size_t i = 0; i < best.size(); ++i) EXPECT_NEAR(best[i], portable[i], 2e-5f) << i;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      const auto avx2 = run(kernels_avx2);
      for (std::size_t i = 0; i < best.size(); ++i) EXPECT_NEAR(avx2[i], portable[i], 2e-5f) << i;
    }
  }
}

} // namespace troupe::torch_detail

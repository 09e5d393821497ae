#include "gpu/torch/optimizer.hpp"

#include "gpu/torch/kernels.hpp"
#include "small_model.hpp"
#include <ATen/ops/zeros.h>
#include <cmath>

namespace troupe::torch_detail {

namespace {

at::Tensor floats(const std::vector<float>& from) {
  auto out = at::zeros({static_cast<std::int64_t>(from.size())}, at::kFloat);
  std::copy(from.begin(), from.end(), out.data_ptr<float>());
  return out;
}

/// torch.optim.AdamW's definition, in double.
struct plain_adamw {
  optimizer_options o;
  std::vector<double> w, m, v;
  int t = 0;
  void step(const std::vector<float>& gradient, double scale, double rate) {
    ++t;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double g = scale * static_cast<double>(gradient[i]);
      w[i] -= rate * o.weight_decay * w[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
      const double root = std::sqrt(v[i]) / std::sqrt(1 - std::pow(o.beta2, t));
      w[i] -= rate / (1 - std::pow(o.beta1, t)) * m[i] / (root + o.epsilon);
    }
  }
};

} // namespace

TEST(AdamW, FollowsItsClosedFormWithDecayAndClip) {
  const optimizer_options options{.beta1 = 0.9, .beta2 = 0.98, .weight_decay = 0.1, .clip_norm = 1};
  random_stream random(3);
  std::vector<float> start(37);
  for (float& x : start) x = static_cast<float>(random.normal());
  const auto weights = floats(start);
  optimizer tested(options, 37);
  plain_adamw exact{options, std::vector<double>(start.begin(), start.end()), std::vector<double>(37),
                    std::vector<double>(37)};
  for (int i = 0; i < 20; ++i) {
    std::vector<float> g(37);
    double squares = 0;
    for (float& x : g)
      x = static_cast<float>((i % 2 ? 1.0 : 0.01) * random.normal()), squares += double(x) * double(x);
    const double norm = optimizer::norm(floats(g)), rate = 1e-2 / (1 + i);
    EXPECT_NEAR(norm, std::sqrt(squares), 1e-6 * norm);
    tested.step(weights, floats(g), norm, rate);
    exact.step(g, norm > 1 ? 1 / norm : 1, rate);
  }
  for (std::size_t i = 0; i < 37; ++i) EXPECT_NEAR(weights.data_ptr<float>()[i], exact.w[i], 2e-6);
}

TEST(AdamW, GivesTheNumbersOfTorchOptim) { // torch 2.11: AdamW([1, -2, 3], lr .1, betas (.9, .95), eps 1e-8,
                                           // decay .01)
  const auto weights = floats({1.f, -2.f, 3.f});
  optimizer tested({.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.01, .clip_norm = 0}, 3);
  for (const auto& g : {std::vector<float>{0.5f, -1.f, 0.f}, {-0.25f, 2.f, 1e-3f}, {4.f, 0.f, -1e-3f}})
    tested.step(weights, floats(g), optimizer::norm(floats(g)), 0.1);
  const std::vector<float> expected{0.80583847f, -1.95895910f, 2.92205071f};
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(weights.data_ptr<float>()[i], expected[i], 1e-6f);
}

TEST(AdamW, MovesAWeightByTheLearningRateOnItsFirstStep) {
  const auto weights = floats({5.f});
  optimizer tested({.clip_norm = 0}, 1);
  tested.step(weights, floats({-123.f}), 123, 0.25);
  EXPECT_NEAR(weights.data_ptr<float>()[0], 5.25f, 1e-6f);
}

TEST(EveryInstructionSet, GivesTheSameOptimizerStepUpToRounding) {
  random_stream random(9);
  std::vector<float> w(53), g(53);
  for (float& x : w) x = static_cast<float>(random.normal());
  for (float& x : g) x = static_cast<float>(random.normal());
  const adamw_numbers numbers{.learning_rate = 0.01f,
                              .beta1 = 0.9f,
                              .beta2 = 0.95f,
                              .epsilon = 1e-8f,
                              .decay = 0.999f,
                              .gradient_scale = 0.5f,
                              .correction1 = 0.1f,
                              .root_correction2 = 0.2236f};
  const auto stepped = [&](const kernel_table& table) {
    std::vector<float> out = w, m(53), v(53);
    table.adamw(out.data(), g.data(), m.data(), v.data(), 53, numbers);
    return out;
  };
  const auto a = stepped(kernels_portable), b = stepped(kernels());
  for (std::size_t i = 0; i < 53; ++i) EXPECT_NEAR(a[i], b[i], 1e-6f);
  EXPECT_NEAR(kernels_portable.sum_of_squares(g.data(), 53), kernels().sum_of_squares(g.data(), 53), 1e-5);
}

} // namespace troupe::torch_detail

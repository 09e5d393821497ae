#include "gpu/torch/optimizer.hpp"

#include "gpu/torch/kernels.hpp"
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cmath>

namespace troupe::torch_detail {

namespace {
constexpr double exact_float_integers = 1 << 24; // the step count is stored as a float32
}

adamw::adamw(const optimizer_options& options, std::int64_t size)
    : options_(options), moment1_(at::zeros({size}, at::kFloat)), moment2_(at::zeros({size}, at::kFloat)) {}

double adamw::norm(const at::Tensor& gradient) {
  return std::sqrt(kernels().sum_of_squares(gradient.data_ptr<float>(), gradient.numel()));
}

void adamw::step(const at::Tensor& weights, const at::Tensor& gradient, double gradient_norm,
                 double learning_rate) {
  ++steps_;
  const auto t = static_cast<double>(steps_);
  const bool clip = options_.clip_norm > 0 && gradient_norm > options_.clip_norm;
  const adamw_numbers numbers{
      .learning_rate = static_cast<float>(learning_rate),
      .beta1 = static_cast<float>(options_.beta1),
      .beta2 = static_cast<float>(options_.beta2),
      .epsilon = static_cast<float>(options_.epsilon),
      .decay = static_cast<float>(1 - learning_rate * options_.weight_decay),
      .gradient_scale = clip ? static_cast<float>(options_.clip_norm / gradient_norm) : 1.f,
      .correction1 = static_cast<float>(1 - std::pow(options_.beta1, t)),
      .root_correction2 = static_cast<float>(std::sqrt(1 - std::pow(options_.beta2, t)))};
  kernels().adamw(weights.data_ptr<float>(), gradient.data_ptr<float>(), moment1_.data_ptr<float>(),
                  moment2_.data_ptr<float>(), weights.numel(), numbers);
}

void adamw::reset() {
  moment1_.zero_();
  moment2_.zero_();
  steps_ = 0;
}

adamw adamw::copy() const {
  adamw other = *this;
  other.moment1_ = moment1_.clone();
  other.moment2_ = moment2_.clone();
  return other;
}

std::map<std::string, host_tensor> adamw::save(const flat_layout& layout) const {
  std::map<std::string, host_tensor> out;
  read_flat(layout, moment1_, "exp_avg.", out);
  read_flat(layout, moment2_, "exp_avg_sq.", out);
  out["step"] = {{1}, {static_cast<float>(steps_)}};
  return out;
}

expected<void> adamw::restore(const flat_layout& layout, const std::map<std::string, host_tensor>& from) {
  for (const char* prefix : {"exp_avg.", "exp_avg_sq."})
    if (auto ok = check_tensors(layout, from, prefix); !ok)
      return fail(ok.error().code, "optimizer state: " + ok.error().message);
  const auto step = from.find("step");
  if (step == from.end() || step->second.data.size() != 1)
    return fail(errc::invalid, "optimizer state: the step count is missing");
  const double count = step->second.data[0];
  if (!(count >= 0) || count > exact_float_integers || count != std::floor(count))
    return fail(errc::invalid, "optimizer state: found the step count " + std::to_string(count));
  fill_flat(layout, from, "exp_avg.", moment1_);
  fill_flat(layout, from, "exp_avg_sq.", moment2_);
  steps_ = static_cast<std::int64_t>(count);
  return {};
}

void fill_flat(const flat_layout& layout, const std::map<std::string, host_tensor>& from,
               const std::string& prefix, const at::Tensor& to) {
  for (const auto& part : layout.parts) {
    const auto& data = from.at(prefix + part.name).data;
    std::copy(data.begin(), data.end(), to.data_ptr<float>() + part.offset);
  }
}

void read_flat(const flat_layout& layout, const at::Tensor& from, const std::string& prefix,
               std::map<std::string, host_tensor>& to) {
  for (const auto& part : layout.parts) {
    const float* data = from.data_ptr<float>() + part.offset;
    to[prefix + part.name] = {part.shape, std::vector<float>(data, data + part.size)};
  }
}

} // namespace troupe::torch_detail

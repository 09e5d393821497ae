#include "gpu/torch/optimizer.hpp"

#include "gpu/torch/kernels.hpp"
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cmath>

namespace troupe::torch_detail {

namespace {
constexpr double exact_float_integers = 1 << 24; // the step count is stored as a float32
constexpr double muon_scale = 0.2;               // the root mean square of an AdamW step (Moonlight)
} // namespace

optimizer::optimizer(const optimizer_options& options, const flat_layout& layout, at::Device device)
    : options_(options),
      moment1_(at::zeros({layout.total}, at::TensorOptions(at::kFloat).device(device))),
      moment2_(at::empty({layout.total}, at::TensorOptions(at::kFloat).device(device))) {
  std::int64_t from = 0; // AdamW's open range
  for (const auto& part : layout.parts) {
    if (!by_muon(part)) continue;
    matrices_.push_back(part);
    if (part.offset > from) ranges_.push_back({from, part.offset - from});
    from = part.offset + part.size;
  }
  if (from < layout.total) ranges_.push_back({from, layout.total - from});
  for (const auto& r : ranges_) moment2_.narrow(0, r.offset, r.size).zero_();
}

optimizer::optimizer(const optimizer_options& options, std::int64_t size)
    : optimizer(options, flat_layout{.total = size}) {}

bool optimizer::by_muon(const flat_layout::part& part) const {
  return options_.kind == optimizer_kind::muon && part.shape.size() == 2 &&
         part.name.starts_with("model.layers.");
}

double optimizer::norm(const at::Tensor& gradient) {
  if (!gradient.is_cpu()) return gradient.norm(2, at::kFloat).item<double>();
  return std::sqrt(kernels().sum_of_squares(gradient.data_ptr<float>(), gradient.numel()));
}

void optimizer::adam(const at::Tensor& weights, const at::Tensor& gradient, double scale,
                     double learning_rate) {
  const auto t = static_cast<double>(steps_);
  const double correction1 = 1 - std::pow(options_.beta1, t),
               root_correction2 = std::sqrt(1 - std::pow(options_.beta2, t)),
               decay = 1 - learning_rate * options_.weight_decay;
  const adamw_numbers numbers{.learning_rate = static_cast<float>(learning_rate),
                              .beta1 = static_cast<float>(options_.beta1),
                              .beta2 = static_cast<float>(options_.beta2),
                              .epsilon = static_cast<float>(options_.epsilon),
                              .decay = static_cast<float>(decay),
                              .gradient_scale = static_cast<float>(scale),
                              .correction1 = static_cast<float>(correction1),
                              .root_correction2 = static_cast<float>(root_correction2)};
  for (const auto& [offset, size] : ranges_) {
    if (weights.is_cpu()) {
      kernels().adamw(weights.data_ptr<float>() + offset, gradient.data_ptr<float>() + offset,
                      moment1_.data_ptr<float>() + offset, moment2_.data_ptr<float>() + offset, size,
                      numbers);
      continue;
    }
    auto w = weights.narrow(0, offset, size), m = moment1_.narrow(0, offset, size),
         v = moment2_.narrow(0, offset, size);
    const auto g = gradient.narrow(0, offset, size) * scale;
    m.lerp_(g, 1 - options_.beta1);
    v.mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
    w.mul_(decay).addcdiv_(m, v.sqrt().div_(root_correction2).add_(options_.epsilon),
                           -learning_rate / correction1);
  }
}

at::Tensor orthogonalised(const at::Tensor& x) {
  const bool tall = x.size(0) > x.size(1);
  auto y = tall ? x.t() : x;
  y = y / (y.norm() + 1e-7);
  for (int i = 0; i < 5; ++i) {
    const auto gram = at::mm(y, y.t());
    const auto polynomial = gram * -4.7750 + at::mm(gram, gram) * 2.0315;
    y = y * 3.4445 + at::mm(polynomial, y);
  }
  return tall ? y.t() : y;
}

void optimizer::orthogonal_step(const flat_layout::part& part, const at::Tensor& weights,
                                const at::Tensor& gradient, double scale, double learning_rate) {
  const auto view = [&](const at::Tensor& flat) {
    return flat.narrow(0, part.offset, part.size).view({part.shape[0], part.shape[1]});
  };
  auto momentum = view(moment1_), w = view(weights);
  const auto g = view(gradient) * scale;
  momentum.mul_(options_.momentum).add_(g);
  const auto longer = static_cast<double>(std::max(part.shape[0], part.shape[1]));
  w.mul_(1 - learning_rate * options_.weight_decay)
      .add_(orthogonalised(g + momentum * options_.momentum),
            -learning_rate * muon_scale * std::sqrt(longer));
}

void optimizer::step(const at::Tensor& weights, const at::Tensor& gradient, double gradient_norm,
                     double learning_rate, lane_pool* lanes) {
  ++steps_;
  const bool clip = options_.clip_norm > 0 && gradient_norm > options_.clip_norm;
  const double scale = clip ? options_.clip_norm / gradient_norm : 1.0;
  adam(weights, gradient, scale, learning_rate);
  const auto one = [&](std::size_t i, std::size_t) {
    orthogonal_step(matrices_[i], weights, gradient, scale, learning_rate);
  };
  if (lanes)
    lanes->run(matrices_.size(), one);
  else
    for (std::size_t i = 0; i < matrices_.size(); ++i) one(i, 0);
}

void optimizer::reset() {
  moment1_.zero_();
  for (const auto& r : ranges_) moment2_.narrow(0, r.offset, r.size).zero_();
  steps_ = 0;
}

optimizer optimizer::copy() const {
  optimizer other = *this;
  other.moment1_ = moment1_.clone();
  if (matrices_.empty()) {
    other.moment2_ = moment2_.clone();
  } else {
    other.moment2_ = at::empty_like(moment2_);
    for (const auto& r : ranges_)
      other.moment2_.narrow(0, r.offset, r.size).copy_(moment2_.narrow(0, r.offset, r.size));
  }
  return other;
}

namespace {
/// The layout's parts that are, or are not, Muon's.
flat_layout chosen(const flat_layout& layout, const std::vector<flat_layout::part>& matrices, bool muon) {
  flat_layout out{.total = layout.total};
  for (const auto& part : layout.parts) {
    const bool is =
        std::any_of(matrices.begin(), matrices.end(), [&](const auto& m) { return m.offset == part.offset; });
    if (is == muon) out.parts.push_back(part);
  }
  return out;
}
} // namespace

std::map<std::string, host_tensor> optimizer::save(const flat_layout& layout) const {
  std::map<std::string, host_tensor> out;
  const auto plain = chosen(layout, matrices_, false);
  read_flat(plain, moment1_, "exp_avg.", out);
  read_flat(plain, moment2_, "exp_avg_sq.", out);
  read_flat(chosen(layout, matrices_, true), moment1_, "momentum_buffer.", out);
  out["step"] = {{1}, {static_cast<float>(steps_)}};
  return out;
}

expected<void> optimizer::restore(const flat_layout& layout, const std::map<std::string, host_tensor>& from) {
  const auto plain = chosen(layout, matrices_, false), muon = chosen(layout, matrices_, true);
  for (const auto& [prefix, of] :
       {std::pair{"exp_avg.", &plain}, {"exp_avg_sq.", &plain}, {"momentum_buffer.", &muon}})
    if (auto ok = check_tensors(*of, from, prefix); !ok)
      return fail(ok.error().code, "optimizer state: " + ok.error().message);
  const auto step = from.find("step");
  if (step == from.end() || step->second.data.size() != 1)
    return fail(errc::invalid, "optimizer state: the step count is missing");
  const double count = step->second.data[0];
  if (!(count >= 0) || count > exact_float_integers || count != std::floor(count))
    return fail(errc::invalid, "optimizer state: found the step count " + std::to_string(count));
  fill_flat(plain, from, "exp_avg.", moment1_);
  fill_flat(plain, from, "exp_avg_sq.", moment2_);
  fill_flat(muon, from, "momentum_buffer.", moment1_);
  steps_ = static_cast<std::int64_t>(count);
  return {};
}

void fill_flat(const flat_layout& layout, const std::map<std::string, host_tensor>& from,
               const std::string& prefix, const at::Tensor& to) {
  auto host = to.is_cpu() ? to : to.to(at::kCPU);
  for (const auto& part : layout.parts) {
    const auto& data = from.at(prefix + part.name).data;
    std::copy(data.begin(), data.end(), host.data_ptr<float>() + part.offset);
  }
  if (!to.is_cpu()) to.copy_(host);
}

void read_flat(const flat_layout& layout, const at::Tensor& from, const std::string& prefix,
               std::map<std::string, host_tensor>& to) {
  const auto host = from.is_cpu() ? from : from.to(at::kCPU);
  for (const auto& part : layout.parts) {
    const float* data = host.data_ptr<float>() + part.offset;
    to[prefix + part.name] = {part.shape, std::vector<float>(data, data + part.size)};
  }
}

} // namespace troupe::torch_detail

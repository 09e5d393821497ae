#include "gpu/torch/operations.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <cmath>
#include <limits>

namespace troupe::torch_detail {

namespace {

using at::Tensor;

Tensor rows_or_zero(const Tensor& table, const Tensor& ids) {
  return table.index_select(0, ids.clamp_min(0)) * ids.ge(0).unsqueeze(1).to(table.scalar_type());
}

Tensor embed(const Tensor& table, const Tensor& map, const Tensor& tokens, const Tensor& previous,
             double scale) {
  auto x = rows_or_zero(table, tokens);
  if (map.defined()) x = x + at::matmul(rows_or_zero(table, previous), map.t());
  return x * scale;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const auto product = at::matmul(x, weight.t());
  return bias.defined() ? product + bias : product;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
  return x * at::rsqrt(x.pow(2).mean({1}, true) + epsilon) * weight;
}

std::pair<Tensor, Tensor> add_rms_norm(const Tensor& x, const Tensor& delta, const Tensor& weight,
                                       double epsilon) {
  const auto sum = x + delta;
  return {sum, rms_norm(sum, weight, epsilon)};
}

Tensor norm_heads(const Tensor& qkv, const Tensor& query_weight, const Tensor& key_weight,
                  const attention_layout& layout, double epsilon) {
  const auto heads = qkv.view({qkv.size(0), layout.heads + 2 * layout.kv_heads, layout.dim});
  const auto normed = [&](std::int64_t from, std::int64_t count, const Tensor& weight) {
    const auto x = heads.narrow(1, from, count);
    return x * at::rsqrt(x.pow(2).mean({2}, true) + epsilon) * weight;
  };
  return at::cat({normed(0, layout.heads, query_weight), normed(layout.heads, layout.kv_heads, key_weight),
                  heads.narrow(1, layout.heads + layout.kv_heads, layout.kv_heads)},
                 1)
      .view_as(qkv);
}

/// x [length, heads, dim], rotate-half by the angles of positions 0 .. length - 1.
Tensor rotated(const Tensor& x, const attention_layout& layout) {
  const auto half = layout.dim / 2, length = x.size(0);
  const auto c = layout.cosines.narrow(0, 0, length).to(x.scalar_type()).unsqueeze(1);
  const auto s = layout.sines.narrow(0, 0, length).to(x.scalar_type()).unsqueeze(1);
  const auto low = x.narrow(2, 0, half), high = x.narrow(2, half, half);
  return at::cat({low * c - high * s, high * c + low * s}, 2);
}

Tensor attention(const Tensor& qkv, const attention_layout& layout) {
  const auto dim = layout.dim, group = layout.heads / layout.kv_heads;
  const auto* offsets = layout.offsets.data_ptr<std::int32_t>();
  std::vector<Tensor> parts;
  for (std::int64_t s = 0; s + 1 < layout.offsets.size(0); ++s) {
    const std::int64_t length = offsets[s + 1] - offsets[s];
    const auto rows =
        qkv.narrow(0, offsets[s], length).view({length, layout.heads + 2 * layout.kv_heads, dim});
    const auto q = rotated(rows.narrow(1, 0, layout.heads), layout).transpose(0, 1);
    const auto k = rotated(rows.narrow(1, layout.heads, layout.kv_heads), layout)
                       .repeat_interleave(group, 1)
                       .transpose(0, 1);
    const auto v = rows.narrow(1, layout.heads + layout.kv_heads, layout.kv_heads)
                       .repeat_interleave(group, 1)
                       .transpose(0, 1);
    const auto never = at::full({length, length}, -std::numeric_limits<double>::infinity(), qkv.options());
    auto scores = at::matmul(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(dim)) + never.triu(1);
    if (layout.window > 0) scores = scores + never.tril(-layout.window);
    parts.push_back(
        at::matmul(at::softmax(scores, -1), v).transpose(0, 1).reshape({length, layout.heads * dim}));
  }
  const std::int64_t used = offsets[layout.offsets.size(0) - 1];
  if (used < qkv.size(0))
    parts.push_back(at::full({qkv.size(0) - used, layout.heads * dim}, 0.0, qkv.options()));
  return at::cat(parts, 0);
}

Tensor swiglu(const Tensor& gate_up) {
  const auto width = gate_up.size(1) / 2;
  return at::silu(gate_up.narrow(1, 0, width)) * gate_up.narrow(1, width, width);
}

Tensor select_rows(const Tensor& x, const Tensor& rows) { return rows_or_zero(x, rows); }

std::pair<Tensor, Tensor> token_logprobs(const Tensor& h, const Tensor& weight, const Tensor& targets,
                                         const Tensor& inverse_temperatures, std::int64_t) {
  const auto z = at::matmul(h, weight.t()) * inverse_temperatures.to(h.scalar_type()).unsqueeze(1);
  const auto all = at::log_softmax(z, -1), real = targets.ge(0).to(h.scalar_type());
  const auto chosen = all.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1) * real;
  return {chosen, -(all.exp() * all).sum({1}).detach() * real};
}

} // namespace

const operations reference_operations = {embed,     linear, rms_norm,    add_rms_norm,  norm_heads,
                                         attention, swiglu, select_rows, token_logprobs};

} // namespace troupe::torch_detail

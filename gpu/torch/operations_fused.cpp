#include "gpu/torch/kernels.hpp"
#include "gpu/torch/operations.hpp"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

namespace troupe::torch_detail {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using guard = at::AutoDispatchBelowAutograd;

float* floats(const Tensor& x) { return x.data_ptr<float>(); }
const std::int64_t* ids(const Tensor& x) { return x.data_ptr<std::int64_t>(); }
Tensor floats_like(const Tensor& x, at::IntArrayRef shape) { return at::empty(shape, x.options()); }

// -- matrix products: oneDNN's, reached by name; twice as fast as MKL's on processors that are not Intel's
// (decision 0006)

using linear_signature = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, std::string_view,
                                c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

const c10::TypedOperatorHandle<linear_signature>* onednn_linear() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<linear_signature>> {
    const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!handle) return std::nullopt;
    return handle->typed<linear_signature>();
  }();
  return found ? &*found : nullptr;
}

/// x weight^T; either may be a transposed view.
Tensor times_transposed(const Tensor& x, const Tensor& weight) {
  const auto* product = onednn_linear();
  if (!product) return at::mm(x, weight.t());
  static const c10::List<std::optional<at::Scalar>> none;
  return product->call(x, weight, std::nullopt, "none", none, "");
}

struct linear_function : Function<linear_function> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight) {
    guard below;
    ctx->save_for_backward({x, weight});
    return times_transposed(x, weight);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto d = grads[0].contiguous();
    return {times_transposed(d, saved[1].t()), times_transposed(d.t(), saved[0].t())};
  }
};

struct embed_function : Function<embed_function> {
  static Tensor forward(AutogradContext* ctx, const Tensor& table, const std::optional<Tensor>& maybe_map,
                        const Tensor& tokens, const Tensor& previous, double scale) {
    guard below;
    const auto map = maybe_map.value_or(Tensor());
    const auto n = tokens.size(0), width = table.size(1);
    Tensor shifted, mapped;
    if (map.defined()) {
      shifted = floats_like(table, {n, width});
      kernels().gather_rows(floats(table), ids(previous), nullptr, 1.f, n, width, floats(shifted));
      mapped = times_transposed(shifted, map);
    }
    auto out = floats_like(table, {n, width});
    kernels().gather_rows(floats(table), ids(tokens), mapped.defined() ? floats(mapped) : nullptr,
                          static_cast<float>(scale), n, width, floats(out));
    ctx->save_for_backward({table, map, tokens, previous, shifted});
    ctx->saved_data["scale"] = scale;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto &table = saved[0], &map = saved[1], &tokens = saved[2], &previous = saved[3],
               &shifted = saved[4];
    const auto scale = static_cast<float>(ctx->saved_data["scale"].toDouble());
    const auto d = grads[0].contiguous();
    const auto n = tokens.size(0), width = table.size(1);
    auto d_table = at::zeros_like(table);
    kernels().scatter_rows(floats(d), ids(tokens), scale, n, width, floats(d_table));
    Tensor d_map;
    if (map.defined()) {
      const auto back = times_transposed(d, map.t());
      kernels().scatter_rows(floats(back), ids(previous), scale, n, width, floats(d_table));
      d_map = times_transposed(d.t(), shifted.t()).mul_(scale);
    }
    return {d_table, d_map, {}, {}, {}};
  }
};

struct rms_norm_function : Function<rms_norm_function> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x,
                               const std::optional<Tensor>& maybe_delta, const Tensor& weight,
                               double epsilon) {
    guard below;
    const auto delta = maybe_delta.value_or(Tensor());
    const auto rows = x.size(0), width = x.size(1);
    auto normed = at::empty_like(x), rstd = floats_like(x, {rows});
    const auto sum = delta.defined() ? at::empty_like(x) : x;
    kernels().rms_norm(floats(x), delta.defined() ? floats(delta) : nullptr, floats(weight),
                       static_cast<float>(epsilon), rows, width, floats(sum), floats(normed), floats(rstd));
    ctx->save_for_backward({sum, weight, rstd});
    ctx->saved_data["two"] = delta.defined();
    ctx->set_materialize_grads(false);
    if (!delta.defined()) return {normed};
    return {normed, sum};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto &sum = saved[0], &weight = saved[1], &rstd = saved[2];
    const bool two = ctx->saved_data["two"].toBool();
    const auto d_sum = two && grads[1].defined() ? grads[1].contiguous() : Tensor();
    const auto d_normed = grads[0].defined() ? grads[0].contiguous() : at::zeros_like(sum);
    auto d_x = at::empty_like(sum), d_weight = at::zeros_like(weight);
    kernels().rms_norm_backward(floats(sum), floats(weight), floats(rstd),
                                d_sum.defined() ? floats(d_sum) : nullptr, floats(d_normed), sum.size(0),
                                sum.size(1), floats(d_x), floats(d_weight));
    return {d_x, two ? d_x : Tensor(), d_weight, {}};
  }
};

struct swiglu_function : Function<swiglu_function> {
  static Tensor forward(AutogradContext* ctx, const Tensor& gate_up) {
    guard below;
    const auto rows = gate_up.size(0), width = gate_up.size(1) / 2;
    auto out = floats_like(gate_up, {rows, width});
    kernels().swiglu(floats(gate_up), rows, width, floats(out));
    ctx->save_for_backward({gate_up});
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto gate_up = ctx->get_saved_variables()[0];
    const auto d = grads[0].contiguous();
    auto out = at::empty_like(gate_up);
    kernels().swiglu_backward(floats(gate_up), floats(d), gate_up.size(0), gate_up.size(1) / 2, floats(out));
    return {out};
  }
};

struct select_function : Function<select_function> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& rows) {
    guard below;
    auto out = floats_like(x, {rows.size(0), x.size(1)});
    kernels().gather_rows(floats(x), ids(rows), nullptr, 1.f, rows.size(0), x.size(1), floats(out));
    ctx->save_for_backward({rows});
    ctx->saved_data["from"] = x.size(0);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto rows = ctx->get_saved_variables()[0];
    const auto d = grads[0].contiguous();
    auto out = floats_like(d, {ctx->saved_data["from"].toInt(), d.size(1)}).zero_();
    kernels().scatter_rows(floats(d), ids(rows), 1.f, rows.size(0), d.size(1), floats(out));
    return {out, {}};
  }
};

attention_shape shape_of(const Tensor& qkv, const Tensor& offsets, const Tensor& cosines, const Tensor& sines,
                         std::int64_t heads, std::int64_t kv_heads) {
  return {.offsets = offsets.data_ptr<std::int32_t>(),
          .sequences = offsets.size(0) - 1,
          .rows = qkv.size(0),
          .heads = heads,
          .kv_heads = kv_heads,
          .dim = cosines.size(1) * 2,
          .cosines = floats(cosines),
          .sines = floats(sines)};
}

struct attention_function : Function<attention_function> {
  static Tensor forward(AutogradContext* ctx, const Tensor& qkv, const Tensor& offsets, const Tensor& cosines,
                        const Tensor& sines, std::int64_t heads, std::int64_t kv_heads,
                        std::int64_t longest) {
    guard below;
    const auto shape = shape_of(qkv, offsets, cosines, sines, heads, kv_heads);
    auto out = floats_like(qkv, {shape.rows, heads * shape.dim}),
         log_sums = floats_like(qkv, {shape.rows, heads});
    auto scratch = floats_like(qkv, {kernels().attention_scratch(longest, shape.dim)});
    kernels().attention(shape, floats(qkv), floats(out), floats(log_sums), floats(scratch));
    ctx->save_for_backward({qkv, out, log_sums, offsets, cosines, sines});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["kv_heads"] = kv_heads;
    ctx->saved_data["longest"] = longest;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto &qkv = saved[0], &out = saved[1], &log_sums = saved[2];
    const auto shape = shape_of(qkv, saved[3], saved[4], saved[5], ctx->saved_data["heads"].toInt(),
                                ctx->saved_data["kv_heads"].toInt());
    const auto d = grads[0].contiguous();
    auto d_qkv = at::empty_like(qkv);
    auto scratch =
        floats_like(qkv, {kernels().attention_scratch(ctx->saved_data["longest"].toInt(), shape.dim)});
    kernels().attention_backward(shape, floats(qkv), floats(out), floats(log_sums), floats(d), floats(d_qkv),
                                 floats(scratch));
    return {d_qkv, {}, {}, {}, {}, {}, {}};
  }
};

struct logprobs_function : Function<logprobs_function> {
  static variable_list forward(AutogradContext* ctx, const Tensor& h, const Tensor& weight,
                               const Tensor& targets, const Tensor& inverse_temperatures) {
    guard below;
    const auto rows = h.size(0), width = weight.size(0);
    auto logits = times_transposed(h, weight);
    auto logprobs = floats_like(h, {rows}), entropies = floats_like(h, {rows}), sums = floats_like(h, {rows});
    kernels().softmax_logprobs(floats(logits), ids(targets), floats(inverse_temperatures), rows, width,
                               floats(logprobs), floats(entropies), floats(sums));
    ctx->save_for_backward({h, weight, targets, inverse_temperatures, logits, sums});
    ctx->mark_non_differentiable({entropies});
    return {logprobs, entropies};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto &h = saved[0], &weight = saved[1], &exponentials = saved[4];
    const auto d = grads[0].contiguous();
    // In place, since nothing else holds the exponentials: a graph is walked once.
    kernels().softmax_logprobs_backward(floats(exponentials), ids(saved[2]), floats(saved[3]),
                                        floats(saved[5]), floats(d), h.size(0), weight.size(0));
    return {times_transposed(exponentials, weight.t()), times_transposed(exponentials.t(), h.t()), {}, {}};
  }
};

// -- the table

/// An argument that may be absent: autograd takes no undefined tensors.
std::optional<Tensor> maybe(const Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; }

Tensor embed(const Tensor& table, const Tensor& map, const Tensor& tokens, const Tensor& previous,
             double scale) {
  return embed_function::apply(table, maybe(map), tokens, previous, scale);
}
Tensor linear(const Tensor& x, const Tensor& weight) { return linear_function::apply(x, weight); }
Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
  return rms_norm_function::apply(x, std::optional<Tensor>(), weight, epsilon)[0];
}
std::pair<Tensor, Tensor> add_rms_norm(const Tensor& x, const Tensor& delta, const Tensor& weight,
                                       double epsilon) {
  auto out = rms_norm_function::apply(x, maybe(delta), weight, epsilon);
  return {std::move(out[1]), std::move(out[0])};
}
Tensor attention(const Tensor& qkv, const attention_layout& layout) {
  return attention_function::apply(qkv, layout.offsets, layout.cosines, layout.sines, layout.heads,
                                   layout.kv_heads, layout.longest);
}
Tensor swiglu(const Tensor& gate_up) { return swiglu_function::apply(gate_up); }
Tensor select_rows(const Tensor& x, const Tensor& rows) { return select_function::apply(x, rows); }
std::pair<Tensor, Tensor> token_logprobs(const Tensor& h, const Tensor& weight, const Tensor& targets,
                                         const Tensor& inverse_temperatures) {
  auto out = logprobs_function::apply(h, weight, targets, inverse_temperatures);
  return {std::move(out[0]), std::move(out[1])};
}

} // namespace

const operations fused_operations = {embed,     linear, rms_norm,    add_rms_norm,
                                     attention, swiglu, select_rows, token_logprobs};

} // namespace troupe::torch_detail

#include "gpu/torch/kernels.hpp"
#include "gpu/torch/operations.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <algorithm>
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

/// What matrix products multiply: float32 as it is, or rounded to bfloat16 (their sums stay float32).
struct in_float32 {
  static Tensor given(const Tensor& x) { return x; }
  static Tensor product(const Tensor& x, const Tensor& weight) { return times_transposed(x, weight); }
};
struct in_bfloat16 {
  static Tensor given(const Tensor& x) { return x.to(at::kBFloat16); }
  static Tensor product(const Tensor& x, const Tensor& weight) {
    return times_transposed(x, weight).to(at::kFloat);
  }
};

template <class Precision>
struct linear_function : Function<linear_function<Precision>> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    guard below;
    ctx->save_for_backward({x, weight});
    ctx->saved_data["bias"] = bias.has_value();
    auto out = Precision::product(Precision::given(x), Precision::given(weight));
    if (bias) out.add_(*bias);
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto whole = grads[0].contiguous(), d = Precision::given(whole);
    Tensor d_x, d_weight, d_bias; // what is frozen has none
    if (ctx->needs_input_grad(0)) d_x = Precision::product(d, Precision::given(saved[1]).t());
    if (ctx->needs_input_grad(1)) d_weight = Precision::product(d.t(), Precision::given(saved[0]).t());
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) d_bias = whole.sum({0});
    return {d_x, d_weight, d_bias};
  }
};

struct norm_heads_function : Function<norm_heads_function> {
  static Tensor forward(AutogradContext* ctx, const Tensor& qkv, const Tensor& query_weight,
                        const Tensor& key_weight, std::int64_t heads, std::int64_t kv_heads, std::int64_t dim,
                        double epsilon) {
    guard below;
    const auto rows = qkv.size(0), width = qkv.size(1), normed = heads + kv_heads;
    auto out = at::empty_like(qkv), rstd = floats_like(qkv, {rows, normed});
    const auto e = static_cast<float>(epsilon);
    for (std::int64_t r = 0; r < rows; ++r) {
      const float* from = floats(qkv) + r * width;
      float *to = floats(out) + r * width, *scale = floats(rstd) + r * normed;
      kernels().rms_norm(from, nullptr, floats(query_weight), e, heads, dim, nullptr, to, scale);
      kernels().rms_norm(from + heads * dim, nullptr, floats(key_weight), e, kv_heads, dim, nullptr,
                         to + heads * dim, scale + heads);
      std::copy(from + normed * dim, from + width, to + normed * dim);
    }
    ctx->save_for_backward({qkv, query_weight, key_weight, rstd});
    ctx->saved_data["heads"] = heads;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto &qkv = saved[0], &query_weight = saved[1], &key_weight = saved[2], &rstd = saved[3];
    const auto d = grads[0].contiguous();
    const auto rows = qkv.size(0), width = qkv.size(1), dim = query_weight.size(0), normed = rstd.size(1);
    const auto heads = ctx->saved_data["heads"].toInt();
    auto d_qkv = at::empty_like(qkv), d_query = at::zeros_like(query_weight),
         d_key = at::zeros_like(key_weight);
    for (std::int64_t r = 0; r < rows; ++r) {
      const float *from = floats(qkv) + r * width, *down = floats(d) + r * width,
                  *scale = floats(rstd) + r * normed;
      float* to = floats(d_qkv) + r * width;
      kernels().rms_norm_backward(from, floats(query_weight), scale, nullptr, down, heads, dim, to,
                                  floats(d_query));
      kernels().rms_norm_backward(from + heads * dim, floats(key_weight), scale + heads, nullptr,
                                  down + heads * dim, normed - heads, dim, to + heads * dim, floats(d_key));
      std::copy(down + normed * dim, down + width, to + normed * dim);
    }
    return {d_qkv, d_query, d_key, {}, {}, {}, {}};
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
                         std::int64_t heads, std::int64_t kv_heads, std::int64_t window) {
  return {.offsets = offsets.data_ptr<std::int32_t>(),
          .sequences = offsets.size(0) - 1,
          .rows = qkv.size(0),
          .heads = heads,
          .kv_heads = kv_heads,
          .dim = cosines.size(1) * 2,
          .cosines = floats(cosines),
          .sines = floats(sines),
          .window = window};
}

struct attention_function : Function<attention_function> {
  static Tensor forward(AutogradContext* ctx, const Tensor& qkv, const Tensor& offsets, const Tensor& cosines,
                        const Tensor& sines, std::int64_t heads, std::int64_t kv_heads, std::int64_t longest,
                        std::int64_t window) {
    guard below;
    const auto shape = shape_of(qkv, offsets, cosines, sines, heads, kv_heads, window);
    auto out = floats_like(qkv, {shape.rows, heads * shape.dim}),
         log_sums = floats_like(qkv, {shape.rows, heads});
    auto scratch = floats_like(qkv, {kernels().attention_scratch(longest, shape.dim)});
    kernels().attention(shape, floats(qkv), floats(out), floats(log_sums), floats(scratch));
    ctx->save_for_backward({qkv, out, log_sums, offsets, cosines, sines});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["kv_heads"] = kv_heads;
    ctx->saved_data["longest"] = longest;
    ctx->saved_data["window"] = window;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto &qkv = saved[0], &out = saved[1], &log_sums = saved[2];
    const auto shape = shape_of(qkv, saved[3], saved[4], saved[5], ctx->saved_data["heads"].toInt(),
                                ctx->saved_data["kv_heads"].toInt(), ctx->saved_data["window"].toInt());
    const auto d = grads[0].contiguous();
    auto d_qkv = at::empty_like(qkv);
    auto scratch =
        floats_like(qkv, {kernels().attention_scratch(ctx->saved_data["longest"].toInt(), shape.dim)});
    kernels().attention_backward(shape, floats(qkv), floats(out), floats(log_sums), floats(d), floats(d_qkv),
                                 floats(scratch));
    return {d_qkv, {}, {}, {}, {}, {}, {}, {}};
  }
};

/// Logprobs in pieces of rows whose logits fit in `most`. The last piece's are kept for the backward pass, which begins with them; the
/// others' are computed again there.
template <class Precision>
struct logprobs_function : Function<logprobs_function<Precision>> {
  static std::int64_t piece_rows(std::int64_t rows, std::int64_t width, std::int64_t most) {
    return rows * width <= most ? rows : std::clamp<std::int64_t>(most / width / 32 * 32, 32, rows);
  }
  static variable_list forward(AutogradContext* ctx, const Tensor& h, const Tensor& weight,
                               const Tensor& targets, const Tensor& inverse_temperatures, std::int64_t most) {
    guard below;
    const auto rows = h.size(0), width = weight.size(0), piece = piece_rows(rows, width, most);
    auto logprobs = floats_like(h, {rows}), entropies = floats_like(h, {rows}), sums = floats_like(h, {rows});
    const auto given = Precision::given(weight);
    Tensor logits;
    for (std::int64_t r = 0, n; r < rows; r += n) {
      n = (rows - r) % piece == 0 ? piece : (rows - r) % piece; // the short one first
      logits = Precision::product(Precision::given(h.narrow(0, r, n)), given);
      kernels().softmax_logprobs(floats(logits), ids(targets) + r, floats(inverse_temperatures) + r, n, width,
                                 floats(logprobs) + r, floats(entropies) + r, floats(sums) + r);
    }
    ctx->save_for_backward({h, weight, targets, inverse_temperatures, logits, sums});
    ctx->saved_data["piece"] = piece;
    ctx->mark_non_differentiable({entropies});
    return {logprobs, entropies};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    guard below;
    const auto saved = ctx->get_saved_variables();
    const auto &h = saved[0], &weight = saved[1], &targets = saved[2], &inverse_temperatures = saved[3],
               &sums = saved[5];
    auto kept = saved[4];
    const auto d = grads[0].contiguous(), given = Precision::given(weight);
    const auto rows = h.size(0), width = weight.size(0), piece = ctx->saved_data["piece"].toInt();
    const bool needs_h = ctx->needs_input_grad(0), needs_weight = ctx->needs_input_grad(1);
    const auto d_h = needs_h ? at::empty_like(h) : Tensor();
    Tensor d_weight;
    const auto unused = floats_like(h, {3, piece});
    for (std::int64_t end = rows, n; end > 0; end -= n) {
      n = std::min(piece, end);
      const auto r = end - n;
      const auto part = Precision::given(h.narrow(0, r, n));
      auto exponentials =
          std::exchange(kept, {}); // in place, since nothing else reads them: a graph is walked once
      if (!exponentials.defined()) {
        exponentials = Precision::product(part, given);
        kernels().softmax_logprobs(floats(exponentials), ids(targets) + r, floats(inverse_temperatures) + r,
                                   n, width, floats(unused), floats(unused) + piece,
                                   floats(unused) + 2 * piece);
      }
      kernels().softmax_logprobs_backward(floats(exponentials), ids(targets) + r,
                                          floats(inverse_temperatures) + r, floats(sums) + r, floats(d) + r,
                                          n, width);
      const auto slopes = Precision::given(exponentials);
      if (needs_h) d_h.narrow(0, r, n).copy_(Precision::product(slopes, given.t()));
      if (!needs_weight) continue;
      const auto more = Precision::product(slopes.t(), part.t());
      if (d_weight.defined())
        kernels().add(floats(d_weight), floats(more), more.numel());
      else
        d_weight = more;
    }
    return {d_h, d_weight, {}, {}, {}};
  }
};

// -- the table

/// An argument that may be absent: autograd takes no undefined tensors.
std::optional<Tensor> maybe(const Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; }

Tensor embed(const Tensor& table, const Tensor& map, const Tensor& tokens, const Tensor& previous,
             double scale) {
  return embed_function::apply(table, maybe(map), tokens, previous, scale);
}
template <class Precision>
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return linear_function<Precision>::apply(x, weight, maybe(bias));
}
Tensor norm_heads(const Tensor& qkv, const Tensor& query_weight, const Tensor& key_weight,
                  const attention_layout& layout, double epsilon) {
  return norm_heads_function::apply(qkv, query_weight, key_weight, layout.heads, layout.kv_heads, layout.dim,
                                    epsilon);
}
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
                                   layout.kv_heads, layout.longest, layout.window);
}
Tensor swiglu(const Tensor& gate_up) { return swiglu_function::apply(gate_up); }
Tensor select_rows(const Tensor& x, const Tensor& rows) { return select_function::apply(x, rows); }
template <class Precision>
std::pair<Tensor, Tensor> token_logprobs(const Tensor& h, const Tensor& weight, const Tensor& targets,
                                         const Tensor& inverse_temperatures, std::int64_t most_logits) {
  auto out = logprobs_function<Precision>::apply(h, weight, targets, inverse_temperatures, most_logits);
  return {std::move(out[0]), std::move(out[1])};
}

template <class Precision>
constexpr operations table() {
  return {embed,       linear<Precision>,        rms_norm, add_rms_norm, norm_heads, attention, swiglu,
          select_rows, token_logprobs<Precision>};
}

} // namespace

const operations fused_operations = table<in_float32>(), bfloat16_operations = table<in_bfloat16>();

} // namespace troupe::torch_detail

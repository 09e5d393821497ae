#include "gpu/torch/torch_learner.hpp"

#include "gpu/engine_core.hpp"
#include "gpu/torch/kernels.hpp"
#include "gpu/torch/memory_pool.hpp"
#include "runtime/base/clock.hpp"
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <algorithm>
#include <c10/util/Exception.h>
#include <cmath>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace troupe::torch_detail {

namespace {

/// Tokens of one pass that keep its activations in the cache; more is slower, not faster
/// (docs/decisions/0006).
constexpr std::int64_t tokens_per_pass = 1024;

double total_weight(std::span<const sft_sample> batch) {
  double total = 0;
  for (const auto& s : batch)
    for (std::size_t t = 1; t < s.weights.size(); ++t) total += static_cast<double>(s.weights[t]);
  return total;
}

template <class Sample>
std::vector<std::int64_t> lengths_of(std::span<const Sample> batch) {
  std::vector<std::int64_t> out;
  for (const auto& s : batch) out.push_back(static_cast<std::int64_t>(s.tokens.size()));
  return out;
}

std::int64_t real_tokens(const packed_batch& batch) {
  return batch.offsets.data_ptr<std::int32_t>()[batch.offsets.size(0) - 1];
}

/// LibTorch's exceptions carry a backtrace in what(); a person gets the sentence alone.
error torch_error(const std::exception& e) {
  const auto* own = dynamic_cast<const c10::Error*>(&e);
  return {errc::internal, std::string("LibTorch: ") + (own ? own->what_without_backtrace() : e.what())};
}

double sum_of(const at::Tensor& x) { return x.sum(at::kDouble).item<double>(); }

at::Device device_of(const learner_options& options) {
  return options.device == "cuda" ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
}

const operations* operations_of(const learner_options& options) {
  if (options.device != "cpu") return &reference_operations;
  return options.bfloat16 ? &bfloat16_operations : &fused_operations;
}

std::int64_t masked_tokens(std::span<const rl_sample> batch) {
  std::int64_t sum = 0;
  for (const auto& s : batch) sum += std::count(s.mask.begin(), s.mask.end(), std::uint8_t{1});
  return sum;
}

/// The values of one computation with the gradient of another of the same thing.
struct value_of : torch::autograd::Function<value_of> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor&, const at::Tensor& values) {
    return values.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list grads) {
    return {grads[0], {}};
  }
};

template <class Table>
Table part_of(const Table& table, std::size_t begin, std::size_t end) {
  if (table.empty()) return {};
  return Table(table.begin() + static_cast<std::ptrdiff_t>(begin),
               table.begin() + static_cast<std::ptrdiff_t>(end));
}

} // namespace

torch_learner::torch_learner(const model_weights& start, const learner_options& options)
    : config_(start.config),
      options_(options),
      adapted_(options.adapters.rank > 0),
      device_(device_of(options)),
      ops_(operations_of(options)),
      layout_(make_layout(start.config)),
      trained_layout_(adapted_ ? make_adapter_layout(start.config, options.adapters) : layout_),
      rope_(make_rope_tables(start.config)),
      weights_(at::zeros({layout_.total}, at::kFloat)),
      optimizer_(options.optimizer, trained_layout_, device_),
      pool_(device_.is_cpu() ? options.threads : 1) {
  fill_flat(layout_, start.tensors, "", weights_);
  trained_ = weights_ = weights_.to(device_);
  if (adapted_) {
    trained_ = at::zeros({trained_layout_.total}, at::kFloat);
    start_adapters(trained_layout_, options_.adapters, trained_);
    trained_ = trained_.to(device_);
  }
  rope_ = {rope_.cosines.to(device_), rope_.sines.to(device_)};
  if (options_.reference) {
    auto flat = at::zeros({layout_.total}, at::kFloat);
    fill_flat(layout_, options_.reference->tensors, "", flat);
    reference_ = view_parameters(config_, layout_, flat.to(device_), {});
  }
  for (int i = 0; i < pool_.size(); ++i) {
    auto gradient = at::zeros_like(trained_);
    auto parameters = view_parameters(config_, layout_, weights_, adapted_ ? at::Tensor() : gradient);
    if (adapted_) view_adapters(config_, options_.adapters, trained_layout_, trained_, gradient, parameters);
    lanes_.push_back({std::move(gradient), std::move(parameters)});
  }
}

model_output torch_learner::run(const model_parameters& parameters, const packed_batch& batch) const {
  return run_model(config_, parameters, rope_, batch, *ops_,
                   {.recompute_layers = options_.recompute_layers, .most_logits = options_.most_logits});
}

/// Offsets stay on the host, where attention reads them.
packed_batch torch_learner::on_device(const packed_batch& batch) const {
  if (device_.is_cpu()) return batch;
  auto out = batch;
  for (auto* t : {&out.tokens, &out.previous, &out.query_rows, &out.targets, &out.inverse_temperatures})
    *t = t->to(device_);
  return out;
}

// -- passes

void torch_learner::add_sft_passes(std::span<const sft_sample> batch, double divisor, bool counted,
                                   std::vector<pass>& to) const {
  const auto limit = std::min<std::int64_t>(options_.max_tokens_per_pass, tokens_per_pass);
  for (const auto& range : cut_into_passes(lengths_of(batch), limit, pool_.size())) {
    const auto part = batch.subspan(range.begin, range.end - range.begin);
    to.push_back([this, part, divisor, counted](const model_parameters& parameters) {
      const auto packed = pack_samples(part);
      pass_result r{.tokens = real_tokens(packed.batch), .computed = packed.batch.tokens.size(0)};
      if (packed.batch.queries == 0) return r;
      const auto out = run(parameters, on_device(packed.batch));
      const auto loss = cross_entropy(out.logprobs.to(at::kCPU, at::kDouble), packed.weights, divisor);
      torch::autograd::backward({loss}, {});
      r.loss = loss.item<double>();
      if (counted) r.rows = packed.batch.queries, r.entropy = sum_of(out.entropies);
      return r;
    });
  }
}

void torch_learner::add_rl_passes(std::span<const rl_sample> batch, const rl_options& options,
                                  std::uint64_t version, std::vector<pass>& to,
                                  const rl_tables& tables) const {
  const auto limit = std::min<std::int64_t>(options_.max_tokens_per_pass, tokens_per_pass);
  const auto divisor = static_cast<double>(batch.size());
  const auto token_divisor = static_cast<double>(masked_tokens(batch));
  const bool interpolates =
      recipe_of(options.loss).proximal && options.proximal == proximal_policy::interpolate;
  const bool as_recorded = recipe_of(options.loss).proximal && options.proximal == proximal_policy::behaviour;
  for (const auto& range : cut_into_passes(lengths_of(batch), limit, pool_.size())) {
    const auto part = batch.subspan(range.begin, range.end - range.begin);
    const rl_tables mine{.proximal = part_of(tables.proximal, range.begin, range.end),
                         .reference = part_of(tables.reference, range.begin, range.end),
                         .exact = part_of(tables.exact, range.begin, range.end),
                         .progress = tables.progress};
    to.push_back([=, this](const model_parameters& parameters) {
      auto packed = pack_samples(part, mine.proximal, mine.reference);
      const auto out = run(parameters, on_device(packed.batch));
      auto logprobs = out.logprobs.to(at::kCPU);
      if (!mine.exact.empty()) {
        std::vector<float> values;
        for (const auto& one : mine.exact) values.insert(values.end(), one.begin(), one.end());
        logprobs = value_of::apply(logprobs, at::tensor(at::ArrayRef<float>(values), at::kFloat));
      }
      auto& in = packed.in;
      in.logprobs = logprobs.to(at::kDouble);
      in.divisor = divisor, in.token_divisor = token_divisor;
      if (as_recorded) in.proximal = in.behaviour;
      if (interpolates) {
        std::vector<double> age;
        for (auto v : packed.versions) age.push_back(static_cast<double>(version - v));
        in.proximal = interpolated_proximal(
            in.behaviour, in.logprobs, at::tensor(at::ArrayRef<double>(age), at::kDouble), mine.progress);
      }
      const auto value = compute_loss(in, options);
      torch::autograd::backward({value.loss}, {});
      pass_result r{.loss = value.loss.item<double>(),
                    .entropy = sum_of(out.entropies),
                    .tokens = real_tokens(packed.batch),
                    .computed = packed.batch.tokens.size(0),
                    .rows = packed.batch.queries,
                    .clipped = value.clipped};
      const auto host = logprobs.detach().contiguous();
      const float* now = host.data_ptr<float>();
      for (std::size_t i = 0; i < packed.behaviour.size(); ++i) {
        const double difference = static_cast<double>(packed.behaviour[i]) - static_cast<double>(now[i]);
        r.kl += difference;
        if (packed.versions[i] == version) r.max_gap = std::max(r.max_gap, std::abs(difference));
      }
      return r;
    });
  }
}

expected<torch_learner::pass_result> torch_learner::differentiate(const std::vector<pass>& passes) {
  std::vector<pass_result> results(passes.size());
  try {
    for (auto& l : lanes_) l.gradient.zero_();
    pool_.run(passes.size(), [&](std::size_t item, std::size_t lane) {
      at::AutoGradMode with_gradient(true);
      results[item] = passes[item](lanes_[lane].parameters);
    });
  } catch (const std::exception& e) {
    return fail(torch_error(e));
  }
  for (std::size_t i = 1; i < lanes_.size(); ++i)
    kernels().add(lanes_[0].gradient.data_ptr<float>(), lanes_[i].gradient.data_ptr<float>(),
                  trained_layout_.total);
  pass_result sum;
  for (const auto& r : results) {
    sum.loss += r.loss, sum.entropy += r.entropy, sum.kl += r.kl;
    sum.max_gap = std::max(sum.max_gap, r.max_gap);
    sum.tokens += r.tokens, sum.computed += r.computed, sum.rows += r.rows, sum.clipped += r.clipped;
  }
  return sum;
}

expected<logprob_table> torch_learner::masked_logprobs(std::span<const rl_sample> batch,
                                                       const model_parameters* of) {
  const auto limit = std::min<std::int64_t>(options_.max_tokens_per_pass, tokens_per_pass);
  const auto ranges = cut_into_passes(lengths_of(batch), limit, pool_.size());
  logprob_table out(batch.size());
  try {
    pool_.run(ranges.size(), [&](std::size_t item, std::size_t lane) {
      at::NoGradGuard no_gradient;
      const auto& range = ranges[item];
      const auto packed = pack_samples(batch.subspan(range.begin, range.end - range.begin));
      const auto made = run(of ? *of : lanes_[lane].parameters, on_device(packed.batch));
      const auto host = made.logprobs.to(at::kCPU).contiguous();
      const float* next = host.data_ptr<float>();
      for (auto i = range.begin; i < range.end; ++i) {
        const auto count = std::count(batch[i].mask.begin(), batch[i].mask.end(), std::uint8_t{1});
        out[i].assign(next, next + count);
        next += count;
      }
    });
  } catch (const std::exception& e) {
    return fail(torch_error(e));
  }
  return out;
}

expected<logprob_table> torch_learner::engine_logprobs(std::span<const rl_sample> batch) {
  auto weights = std::make_shared<model_weights>(*snapshot());
  ++weights->config
        .max_position_embeddings; // room for the token that a request draws, and that nobody asked for
  engine_limits limits{.max_sequences = 8, .max_kv_tokens = 0, .threads = options_.threads};
  for (const auto& s : batch) limits.max_kv_tokens += static_cast<std::int64_t>(s.tokens.size()) + 64;
  auto engine = make_cpu_engine(weights->config, limits);
  if (!engine) return fail(engine.error());
  (*engine)->set_weights(weights, 1, kv_policy::recompute);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    generate_request ask;
    ask.sequence = i + 1, ask.context = batch[i].tokens, ask.max_new_tokens = 1, ask.prompt_logprobs = 0;
    if (auto ok = (*engine)->submit(std::move(ask)); !ok) return fail(ok.error());
  }
  std::vector<generated> done;
  while ((*engine)->step(done)) {
  }
  logprob_table out(batch.size());
  for (const auto& one : done) {
    const auto i = one.sequence - 1;
    const auto& mask = batch[i].mask;
    for (std::size_t t = 1; t < mask.size() && t < one.prompt_logprobs.size(); ++t)
      if (mask[t]) out[i].push_back(one.prompt_logprobs[t]);
  }
  return out;
}

expected<rl_tables> torch_learner::other_logprobs(std::span<const rl_sample> batch,
                                                  const rl_options& options) {
  rl_tables out;
  const bool recomputes = recipe_of(options.loss).proximal && options.proximal == proximal_policy::recompute;
  if (recomputes) {
    auto table = options_.exact_logprobs ? engine_logprobs(batch) : masked_logprobs(batch, nullptr);
    if (!table) return fail(table.error());
    out.proximal = std::move(*table);
  }
  if (options.kl_weight > 0) {
    if (!reference_)
      return fail(errc::invalid, "kl_weight is above 0, but the learner has no reference policy");
    auto table = masked_logprobs(batch, &*reference_);
    if (!table) return fail(table.error());
    out.reference = std::move(*table);
  }
  return out;
}

expected<learn_stats> torch_learner::optimise(const std::vector<pass>& passes, double learning_rate) {
  const auto r = differentiate(passes);
  if (!r) return fail(r.error());
  const double norm = optimizer::norm(gradient());
  if (!std::isfinite(r->loss) || !std::isfinite(norm))
    return fail(errc::internal, "the loss is " + std::to_string(r->loss) + " and the gradient's norm " +
                                    std::to_string(norm) + ": nothing was changed");
  optimizer_.step(trained_, gradient(), norm, learning_rate, &pool_);
  const auto rows = static_cast<double>(std::max<std::int64_t>(r->rows, 1));
  return learn_stats{.loss = r->loss,
                     .grad_norm = norm,
                     .entropy = r->entropy / rows,
                     .max_logprob_gap = r->max_gap,
                     .kl = r->kl / rows,
                     .clip_fraction = static_cast<double>(r->clipped) / rows,
                     .tokens = r->tokens,
                     .loss_tokens = r->rows,
                     .rows = r->computed};
}

// -- steps

expected<learn_stats> torch_learner::sft_step(const std::vector<sft_sample>& batch, double learning_rate) {
  const auto start = system_clock().now();
  if (auto ok = check_samples(config_, batch); !ok) return fail(ok.error());
  if (!(learning_rate >= 0) || !std::isfinite(learning_rate))
    return fail(errc::invalid,
                "the learning rate is " + std::to_string(learning_rate) + ", expected a finite number >= 0");
  const double divisor = total_weight(batch);
  if (!(divisor > 0))
    return fail(errc::invalid, "no token of the supervised batch has a loss weight above 0");
  std::vector<pass> passes;
  add_sft_passes(batch, divisor, true, passes);
  auto stats = optimise(passes, learning_rate);
  if (stats) stats->seconds = seconds(system_clock().now() - start);
  return stats;
}

expected<learn_stats> torch_learner::rl_step(const std::vector<rl_sample>& batch,
                                             const std::vector<sft_sample>& ptx, const rl_options& options,
                                             std::uint64_t version) {
  const auto start = system_clock().now();
  if (batch.empty()) return fail(errc::invalid, "the batch is empty");
  if (auto ok = check_options(options); !ok) return fail(ok.error());
  if (auto ok = check_samples(config_, batch, version); !ok) return fail(ok.error());
  if (auto ok = check_samples(config_, ptx); !ok) return fail(ok.error());
  if (options_.exact_logprobs)
    for (const auto& s : batch)
      if (s.temperature != 1)
        return fail(errc::invalid, "sample " + s.id + " was sampled at temperature " +
                                       std::to_string(s.temperature) +
                                       ", but the engine's own logprobs are for temperature 1");

  const auto minibatches = cut_evenly(batch.size(), options.minibatches);
  const auto supervised =
      cut_evenly(options.ptx_weight > 0 ? ptx.size() : 0, static_cast<int>(minibatches.size()));
  auto others = other_logprobs(batch, options);
  if (!others) return fail(others.error());
  const auto trained_before = trained_.clone();
  const auto optimizer_before = optimizer_.copy();
  const auto undo = [&](const error& why) -> expected<learn_stats> {
    trained_.copy_(trained_before);
    optimizer_ = optimizer_before;
    return fail(why);
  };
  learn_stats all;
  const auto count = static_cast<double>(minibatches.size());
  for (std::size_t i = 0; i < minibatches.size(); ++i) {
    std::vector<pass> passes;
    const auto& m = minibatches[i];
    const auto samples = std::span(batch).subspan(m.begin, m.end - m.begin);
    rl_tables mine{.proximal = part_of(others->proximal, m.begin, m.end),
                   .reference = part_of(others->reference, m.begin, m.end),
                   .exact = {},
                   .progress = static_cast<double>(i) / count};
    if (options_.exact_logprobs) {
      auto exact = engine_logprobs(samples);
      if (!exact) return undo(exact.error());
      mine.exact = std::move(*exact);
    }
    add_rl_passes(samples, options, version, passes, mine);
    if (i < supervised.size()) {
      const auto part = std::span(ptx).subspan(supervised[i].begin, supervised[i].end - supervised[i].begin);
      if (const double divisor = total_weight(part); divisor > 0)
        add_sft_passes(part, divisor / options.ptx_weight, false, passes);
    }
    const auto stats = optimise(passes, options.learning_rate);
    if (!stats) return undo(stats.error());
    if (i == 0) all.kl = stats->kl, all.max_logprob_gap = stats->max_logprob_gap; // before the first update
    all.loss += stats->loss / count, all.grad_norm += stats->grad_norm / count,
        all.entropy += stats->entropy / count;
    all.clip_fraction += stats->clip_fraction / count;
    all.tokens += stats->tokens, all.loss_tokens += stats->loss_tokens, all.rows += stats->rows;
  }
  all.seconds = seconds(system_clock().now() - start);
  return all;
}

expected<std::vector<float>> torch_learner::logprobs(const std::vector<token>& tokens, double temperature) {
  const std::vector<sft_sample> sample{{tokens, std::vector<float>(tokens.size(), 1.f)}};
  if (auto ok = check_samples(config_, sample); !ok) return fail(ok.error());
  if (!(temperature > 0) || !std::isfinite(temperature))
    return fail(errc::invalid, "the temperature is " + std::to_string(temperature) + ", expected above 0");
  try {
    stay_in_this_thread();
    at::NoGradGuard no_gradient;
    const std::vector<sequence_ref> sequence{{&tokens, temperature}};
    const auto batch = pack(sequence, [](std::size_t, std::size_t) { return true; });
    const auto out = run(lanes_.front().parameters, on_device(batch));
    const auto host = out.logprobs.to(at::kCPU).contiguous();
    std::vector<float> result(1, 0.f);
    const float* data = host.data_ptr<float>();
    result.insert(result.end(), data, data + batch.queries);
    return result;
  } catch (const std::exception& e) {
    return fail(torch_error(e));
  }
}

// -- state

weights_ptr torch_learner::snapshot() {
  auto out = std::make_shared<model_weights>();
  out->config = config_;
  read_flat(layout_, whole_weights(), "", out->tensors);
  return out;
}

at::Tensor torch_learner::whole_weights() const {
  return adapted_ ? merge_adapters(config_, options_.adapters, layout_, weights_, trained_layout_, trained_)
                  : weights_;
}

std::map<std::string, host_tensor> torch_learner::adapters() {
  std::map<std::string, host_tensor> out;
  if (adapted_) read_flat(trained_layout_, trained_, "", out);
  return out;
}

model_weights torch_learner::optimizer_state() {
  model_weights out{config_, optimizer_.save(trained_layout_)};
  if (adapted_) read_flat(trained_layout_, trained_, "adapter.", out.tensors);
  return out;
}

expected<void> torch_learner::restore(const model_weights& weights, const model_weights* optimizer) {
  if (!(weights.config == config_))
    return fail(errc::invalid, "the weights are of another model config than the learner's: found " +
                                   json::dump(to_json(weights.config)) + ", expected " +
                                   json::dump(to_json(config_)));
  if (auto ok = check_tensors(layout_, weights.tensors); !ok) return ok;
  if (adapted_ && optimizer) return restore_adapters(weights, *optimizer);
  if (!optimizer)
    optimizer_.reset();
  else if (auto ok = optimizer_.restore(layout_, optimizer->tensors); !ok)
    return ok;
  fill_flat(layout_, weights.tensors, "", weights_);
  if (adapted_) {
    auto fresh = at::zeros({trained_layout_.total}, at::kFloat);
    start_adapters(trained_layout_, options_.adapters, fresh);
    trained_.copy_(fresh);
  }
  return {};
}

expected<void> torch_learner::restore_adapters(const model_weights& weights, const model_weights& optimizer) {
  if (auto ok = check_tensors(trained_layout_, optimizer.tensors, "adapter."); !ok) return ok;
  auto found = at::zeros_like(trained_);
  fill_flat(trained_layout_, optimizer.tensors, "adapter.", found);
  const auto merged = merge_adapters(config_, options_.adapters, layout_, weights_, trained_layout_, found);
  auto wanted = at::zeros_like(merged);
  fill_flat(layout_, weights.tensors, "", wanted);
  if (!merged.equal(wanted))
    return fail(errc::invalid,
                "the weights are not what the adapters make of the model that they are said to adapt: it is "
                "another model, or they were trained with other options");
  if (auto ok = optimizer_.restore(trained_layout_, optimizer.tensors); !ok) return ok;
  trained_.copy_(found);
  return {};
}

expected<std::unique_ptr<learner>> make_torch_learner(const model_weights& start,
                                                      const learner_options& options) {
  if (auto ok = check(start.config); !ok) return fail(ok.error());
  if (auto ok = check_tensors(make_layout(start.config), start.tensors); !ok) return fail(ok.error());
  if (options.threads < 1 || options.max_tokens_per_pass < 1)
    return fail(errc::invalid, "the learner needs at least 1 thread and 1 token per pass, found " +
                                   std::to_string(options.threads) + " and " +
                                   std::to_string(options.max_tokens_per_pass));
  const auto& o = options.optimizer;
  if (!(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1 && o.epsilon > 0 && o.weight_decay >= 0))
    return fail(errc::invalid,
                "AdamW needs betas in [0, 1), epsilon above 0 and weight decay of at least 0, found " +
                    std::to_string(o.beta1) + ", " + std::to_string(o.beta2) + ", " +
                    std::to_string(o.epsilon) + ", " + std::to_string(o.weight_decay));
  if (options.optimizer.kind == optimizer_kind::muon && !(o.momentum >= 0 && o.momentum < 1))
    return fail(errc::invalid, "Muon needs a momentum in [0, 1), found " + std::to_string(o.momentum));
  if (options.adapters.rank != 0) {
    if (auto ok = check_adapters(start.config, options.adapters); !ok) return fail(ok.error());
    if (options.optimizer.kind == optimizer_kind::muon)
      return fail(errc::invalid, "Muon makes whole matrices orthogonal: adapters are trained with AdamW");
  }
  if (options.most_logits < 1)
    return fail(errc::invalid, "the learner holds " + std::to_string(options.most_logits) +
                                   " numbers of logits at once, expected at least 1");
  if (options.device != "cpu" && options.device != "plain" && options.device != "cuda")
    return fail(errc::invalid,
                "the learner's device is \"" + options.device + "\", expected cpu, cuda or plain");
  if (options.device == "cuda" && !at::hasCUDA())
    return fail(errc::invalid, "the learner's device is cuda, but this build or this machine has none");
  if (options.exact_logprobs && (options.device != "cpu" || options.bfloat16))
    return fail(errc::invalid,
                "the engine's own logprobs are float32's on the CPU, the learner computes otherwise");
  if (options.bfloat16 && options.device != "cpu")
    return fail(errc::invalid, "bfloat16 products are for the device cpu, found " + options.device);
  if (options.reference) {
    if (!(options.reference->config == start.config))
      return fail(errc::invalid, "the reference policy is of another model config than the learner's");
    if (auto ok = check_tensors(make_layout(start.config), options.reference->tensors); !ok)
      return fail(ok.error().code, "the reference policy: " + ok.error().message);
  }
  try {
    use_memory_pool();
    stay_in_this_thread();
    return std::make_unique<torch_learner>(start, options);
  } catch (const std::exception& e) {
    return fail(torch_error(e));
  }
}

} // namespace troupe::torch_detail

#include "gpu/torch/torch_learner.hpp"

#include "gpu/torch/kernels.hpp"
#include "gpu/torch/memory_pool.hpp"
#include "runtime/base/clock.hpp"
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <c10/util/Exception.h>
#include <cmath>
#include <torch/csrc/autograd/autograd.h>

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

} // namespace

torch_learner::torch_learner(const model_weights& start, const learner_options& options)
    : config_(start.config),
      options_(options),
      layout_(make_layout(start.config)),
      rope_(make_rope_tables(start.config)),
      weights_(at::zeros({layout_.total}, at::kFloat)),
      optimizer_(options.optimizer, layout_.total),
      pool_(options.threads) {
  fill_flat(layout_, start.tensors, "", weights_);
  for (int i = 0; i < pool_.size(); ++i) {
    auto gradient = at::zeros({layout_.total}, at::kFloat);
    lanes_.push_back({gradient, view_parameters(config_, layout_, weights_, gradient)});
  }
}

// -- passes

void torch_learner::add_sft_passes(std::span<const sft_sample> batch, double divisor, bool counted,
                                   std::vector<pass>& to) const {
  const auto limit = std::min<std::int64_t>(options_.max_tokens_per_pass, tokens_per_pass);
  for (const auto& range : cut_into_passes(lengths_of(batch), limit, pool_.size())) {
    const auto part = batch.subspan(range.begin, range.end - range.begin);
    to.push_back([this, part, divisor, counted](const model_parameters& parameters) {
      const auto packed = pack_samples(part);
      pass_result r{.tokens = real_tokens(packed.batch)};
      if (packed.batch.queries == 0) return r;
      const auto out = run_model(config_, parameters, rope_, packed.batch, fused_operations);
      const auto loss = cross_entropy(out.logprobs.to(at::kDouble), packed.weights, divisor);
      torch::autograd::backward({loss}, {});
      r.loss = loss.item<double>();
      if (counted) r.rows = packed.batch.queries, r.entropy = sum_of(out.entropies);
      return r;
    });
  }
}

void torch_learner::add_rl_passes(std::span<const rl_sample> batch, const rl_options& options,
                                  std::uint64_t version, std::vector<pass>& to) const {
  const auto limit = std::min<std::int64_t>(options_.max_tokens_per_pass, tokens_per_pass);
  const auto divisor = static_cast<double>(batch.size());
  for (const auto& range : cut_into_passes(lengths_of(batch), limit, pool_.size())) {
    const auto part = batch.subspan(range.begin, range.end - range.begin);
    to.push_back([this, part, divisor, options, version](const model_parameters& parameters) {
      auto packed = pack_samples(part);
      const auto out = run_model(config_, parameters, rope_, packed.batch, fused_operations);
      packed.in.logprobs = out.logprobs.to(at::kDouble);
      packed.in.divisor = divisor;
      const auto value = find_loss(options.loss)(packed.in, options);
      torch::autograd::backward({value.loss}, {});
      pass_result r{.loss = value.loss.item<double>(),
                    .entropy = sum_of(out.entropies),
                    .tokens = real_tokens(packed.batch),
                    .rows = packed.batch.queries,
                    .clipped = value.clipped};
      const float* now = out.logprobs.data_ptr<float>();
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
    kernels().add(lanes_[0].gradient.data_ptr<float>(), lanes_[i].gradient.data_ptr<float>(), layout_.total);
  pass_result sum;
  for (const auto& r : results) {
    sum.loss += r.loss, sum.entropy += r.entropy, sum.kl += r.kl;
    sum.max_gap = std::max(sum.max_gap, r.max_gap);
    sum.tokens += r.tokens, sum.rows += r.rows, sum.clipped += r.clipped;
  }
  return sum;
}

expected<learn_stats> torch_learner::optimise(const std::vector<pass>& passes, double learning_rate) {
  const auto r = differentiate(passes);
  if (!r) return fail(r.error());
  const double norm = adamw::norm(gradient());
  if (!std::isfinite(r->loss) || !std::isfinite(norm))
    return fail(errc::internal, "the loss is " + std::to_string(r->loss) + " and the gradient's norm " +
                                    std::to_string(norm) + ": nothing was changed");
  optimizer_.step(weights_, gradient(), norm, learning_rate);
  const auto rows = static_cast<double>(std::max<std::int64_t>(r->rows, 1));
  return learn_stats{.loss = r->loss,
                     .grad_norm = norm,
                     .entropy = r->entropy / rows,
                     .max_logprob_gap = r->max_gap,
                     .kl = r->kl / rows,
                     .clip_fraction = static_cast<double>(r->clipped) / rows,
                     .tokens = r->tokens,
                     .loss_tokens = r->rows};
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

  const auto minibatches = cut_evenly(batch.size(), options.minibatches);
  const auto supervised =
      cut_evenly(options.ptx_weight > 0 ? ptx.size() : 0, static_cast<int>(minibatches.size()));
  const auto weights_before = weights_.clone();
  const auto optimizer_before = optimizer_.copy();
  learn_stats all;
  const auto count = static_cast<double>(minibatches.size());
  for (std::size_t i = 0; i < minibatches.size(); ++i) {
    std::vector<pass> passes;
    const auto& m = minibatches[i];
    add_rl_passes(std::span(batch).subspan(m.begin, m.end - m.begin), options, version, passes);
    if (i < supervised.size()) {
      const auto part = std::span(ptx).subspan(supervised[i].begin, supervised[i].end - supervised[i].begin);
      if (const double divisor = total_weight(part); divisor > 0)
        add_sft_passes(part, divisor / options.ptx_weight, false, passes);
    }
    const auto stats = optimise(passes, options.learning_rate);
    if (!stats) {
      weights_.copy_(weights_before);
      optimizer_ = optimizer_before;
      return fail(stats.error());
    }
    if (i == 0) all.kl = stats->kl, all.max_logprob_gap = stats->max_logprob_gap; // before the first update
    all.loss += stats->loss / count, all.grad_norm += stats->grad_norm / count,
        all.entropy += stats->entropy / count;
    all.clip_fraction += stats->clip_fraction / count;
    all.tokens += stats->tokens, all.loss_tokens += stats->loss_tokens;
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
    const auto out = run_model(config_, lanes_.front().parameters, rope_, batch, fused_operations);
    std::vector<float> result(1, 0.f);
    const float* data = out.logprobs.data_ptr<float>();
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
  read_flat(layout_, weights_, "", out->tensors);
  return out;
}

model_weights torch_learner::optimizer_state() { return {config_, optimizer_.save(layout_)}; }

expected<void> torch_learner::restore(const model_weights& weights, const model_weights* optimizer) {
  if (!(weights.config == config_))
    return fail(errc::invalid, "the weights are of another model config than the learner's: found " +
                                   json::dump(to_json(weights.config)) + ", expected " +
                                   json::dump(to_json(config_)));
  if (auto ok = check_tensors(layout_, weights.tensors); !ok) return ok;
  if (!optimizer)
    optimizer_.reset();
  else if (auto ok = optimizer_.restore(layout_, optimizer->tensors); !ok)
    return ok;
  fill_flat(layout_, weights.tensors, "", weights_);
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
  try {
    use_memory_pool();
    stay_in_this_thread();
    return std::make_unique<torch_learner>(start, options);
  } catch (const std::exception& e) {
    return fail(torch_error(e));
  }
}

} // namespace troupe::torch_detail

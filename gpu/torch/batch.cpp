#include "gpu/torch/batch.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe::torch_detail {

std::vector<sample_range> cut_into_passes(std::span<const std::int64_t> lengths, std::int64_t max_tokens,
                                          int lanes) {
  const auto total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  std::int64_t passes = (total + max_tokens - 1) / max_tokens;
  passes = (passes + lanes - 1) / lanes * lanes;
  std::vector<sample_range> ranges;
  std::int64_t before = 0; // tokens in the samples so far
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const auto share =
        static_cast<std::int64_t>(ranges.size()) * total / passes; // where the open pass should end
    if (ranges.empty() || before + lengths[i] / 2 >= share || ranges.back().tokens + lengths[i] > max_tokens)
      ranges.push_back({i, i, 0});
    ranges.back().end = i + 1;
    ranges.back().tokens += lengths[i];
    before += lengths[i];
  }
  return ranges;
}

std::vector<sample_range> cut_evenly(std::size_t samples, int parts) {
  std::vector<sample_range> ranges;
  const auto n = static_cast<std::size_t>(parts);
  for (std::size_t p = 0, begin = 0; p < n; ++p) {
    const auto size = samples / n + (p < samples % n ? 1 : 0);
    if (size > 0) ranges.push_back({begin, begin + size, 0});
    begin += size;
  }
  return ranges;
}

// -- checks

namespace {

std::string number(double x) { return std::to_string(x); }

expected<void> check_tokens(const model_config& config, const std::vector<token>& tokens,
                            const std::string& who) {
  if (tokens.size() < 2)
    return fail(errc::invalid,
                who + " has " + std::to_string(tokens.size()) + " tokens, expected at least 2");
  if (tokens.size() > static_cast<std::size_t>(config.max_position_embeddings))
    return fail(errc::invalid, who + " has " + std::to_string(tokens.size()) +
                                   " tokens, the model takes at most " +
                                   std::to_string(config.max_position_embeddings));
  for (token t : tokens)
    if (t < 0 || t >= config.vocab_size)
      return fail(errc::invalid, who + " holds token " + std::to_string(t) + ", the vocabulary has " +
                                     std::to_string(config.vocab_size));
  return {};
}

} // namespace

expected<void> check_samples(const model_config& config, std::span<const sft_sample> samples) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto& s = samples[i];
    const auto who = "supervised sample " + std::to_string(i);
    if (auto ok = check_tokens(config, s.tokens, who); !ok) return ok;
    if (s.weights.size() != s.tokens.size())
      return fail(errc::invalid, who + " has " + std::to_string(s.weights.size()) + " weights for " +
                                     std::to_string(s.tokens.size()) + " tokens");
    for (float w : s.weights)
      if (!std::isfinite(w) || w < 0)
        return fail(errc::invalid,
                    who + " has the loss weight " + number(w) + ", expected a finite number >= 0");
  }
  return {};
}

expected<void> check_samples(const model_config& config, std::span<const rl_sample> samples,
                             std::uint64_t version) {
  for (const auto& s : samples) {
    const auto who = "sample " + s.id;
    if (auto ok = check_tokens(config, s.tokens, who); !ok) return ok;
    const auto n = s.tokens.size();
    if (s.mask.size() != n || s.behaviour_logprobs.size() != n || s.versions.size() != n ||
        s.turn_weights.size() != n)
      return fail(errc::invalid, who + ": mask, logprobs, versions and turn weights must be as long as its " +
                                     std::to_string(n) + " tokens");
    if (!(s.temperature > 0) || !std::isfinite(s.temperature))
      return fail(errc::invalid,
                  who + " was sampled at temperature " + number(s.temperature) + ", expected > 0");
    if (!std::isfinite(s.reward) || !std::isfinite(s.baseline) || !std::isfinite(s.weight) ||
        !std::isfinite(s.scale))
      return fail(errc::invalid, who + " has a reward, baseline, scale or weight that is not finite");
    if (s.mask[0]) return fail(errc::invalid, who + " has mask 1 on its first token, which nothing predicts");
    if (std::none_of(s.mask.begin(), s.mask.end(), [](auto m) { return m != 0; }))
      return fail(errc::invalid, who + " has no sampled token");
    for (std::size_t t = 0; t < n; ++t) {
      if (!s.mask[t]) continue;
      if (!std::isfinite(s.behaviour_logprobs[t]) || s.behaviour_logprobs[t] > 1e-3f)
        return fail(errc::invalid, who + " has the behaviour logprob " + number(s.behaviour_logprobs[t]) +
                                       " at token " + std::to_string(t) + ", expected a finite number <= 0");
      if (!std::isfinite(s.turn_weights[t]))
        return fail(errc::invalid, who + " has a turn weight that is not finite");
      if (s.versions[t] > version)
        return fail(errc::invalid, who + " holds a token of policy version " + std::to_string(s.versions[t]) +
                                       ", newer than the learner's " + std::to_string(version));
    }
  }
  return {};
}

expected<void> check_options(const rl_options& o) {
  const auto bad = [](const char* name, double found, const char* wanted) {
    return fail(errc::invalid, std::string(name) + " is " + number(found) + ", expected " + wanted);
  };
  if (!(o.tau > 0) || !std::isfinite(o.tau)) return bad("tau", o.tau, "a number above 0");
  if (!(o.ptx_weight >= 0) || !std::isfinite(o.ptx_weight))
    return bad("ptx_weight", o.ptx_weight, "a number >= 0");
  if (o.minibatches < 1) return bad("minibatches", o.minibatches, "at least 1");
  if (!(o.ratio_cap > 0)) return bad("ratio_cap", o.ratio_cap, "a number above 0");
  if (!(o.learning_rate >= 0) || !std::isfinite(o.learning_rate))
    return bad("learning_rate", o.learning_rate, "a finite number >= 0");
  for (auto [name, value] : {std::pair{"clip_low", o.clip_low},
                             {"clip_high", o.clip_high},
                             {"dual_clip", o.dual_clip},
                             {"kl_weight", o.kl_weight},
                             {"correction_low", o.correction_low}})
    if (!(value >= 0) || !std::isfinite(value)) return bad(name, value, "a finite number >= 0");
  if (!(o.length_constant > 0)) return bad("length_constant", o.length_constant, "a number above 0");
  if (!(o.correction_high > o.correction_low))
    return bad("correction_high", o.correction_high, "more than correction_low");
  return {};
}

// -- packing

namespace {
std::int64_t bucket(std::size_t n) { return static_cast<std::int64_t>((n + 31) / 32 * 32); }

template <class T>
at::Tensor to_tensor(const std::vector<T>& from, std::int64_t size, T padding, at::ScalarType type) {
  auto out = at::empty({size}, type);
  auto* data = out.data_ptr<T>();
  std::copy(from.begin(), from.end(), data);
  std::fill(data + from.size(), data + size, padding);
  return out;
}
at::Tensor doubles(const std::vector<double>& from) {
  return to_tensor(from, static_cast<std::int64_t>(from.size()), 0.0, at::kDouble);
}
} // namespace

packed_batch pack(std::span<const sequence_ref> sequences,
                  const std::function<bool(std::size_t, std::size_t)>& asked) {
  std::vector<std::int64_t> tokens, previous, rows, targets;
  std::vector<std::int32_t> offsets{0};
  std::vector<float> inverse_temperatures;
  std::int64_t longest = 0;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const auto& from = *sequences[s].tokens;
    const auto first = static_cast<std::int64_t>(tokens.size());
    for (std::size_t t = 0; t < from.size(); ++t) {
      tokens.push_back(from[t]);
      previous.push_back(t == 0 ? -1 : from[t - 1]);
      if (t == 0 || !asked(s, t)) continue;
      rows.push_back(first + static_cast<std::int64_t>(t) - 1);
      targets.push_back(from[t]);
      inverse_temperatures.push_back(static_cast<float>(1.0 / sequences[s].temperature));
    }
    offsets.push_back(static_cast<std::int32_t>(tokens.size()));
    longest = std::max(longest, static_cast<std::int64_t>(from.size()));
  }
  const auto n = bucket(tokens.size()), m = bucket(rows.size());
  return {.tokens = to_tensor<std::int64_t>(tokens, n, -1, at::kLong),
          .previous = to_tensor<std::int64_t>(previous, n, -1, at::kLong),
          .offsets = to_tensor<std::int32_t>(offsets, static_cast<std::int64_t>(offsets.size()), 0, at::kInt),
          .longest = longest,
          .query_rows = to_tensor<std::int64_t>(rows, m, -1, at::kLong),
          .targets = to_tensor<std::int64_t>(targets, m, -1, at::kLong),
          .inverse_temperatures = to_tensor<float>(inverse_temperatures, m, 1.f, at::kFloat),
          .queries = static_cast<std::int64_t>(rows.size())};
}

packed_sft pack_samples(std::span<const sft_sample> samples) {
  std::vector<sequence_ref> sequences;
  std::vector<double> weights;
  for (const auto& s : samples) {
    sequences.push_back({&s.tokens, 1.0});
    for (std::size_t t = 1; t < s.tokens.size(); ++t)
      if (s.weights[t] > 0) weights.push_back(static_cast<double>(s.weights[t]));
  }
  return {.batch = pack(sequences, [&](std::size_t s, std::size_t t) { return samples[s].weights[t] > 0; }),
          .weights = doubles(weights)};
}

packed_rl pack_samples(std::span<const rl_sample> samples, std::span<const std::vector<float>> proximal,
                       std::span<const std::vector<float>> reference) {
  std::vector<sequence_ref> sequences;
  std::vector<double> behaviour, turn_weights, advantages, weights;
  std::vector<std::int64_t> sequence;
  packed_rl out;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto& s = samples[i];
    sequences.push_back({&s.tokens, s.temperature});
    advantages.push_back((s.reward - s.baseline) * s.scale);
    weights.push_back(s.weight);
    for (std::size_t t = 1; t < s.tokens.size(); ++t) {
      if (!s.mask[t]) continue;
      behaviour.push_back(static_cast<double>(s.behaviour_logprobs[t]));
      turn_weights.push_back(static_cast<double>(s.turn_weights[t]));
      sequence.push_back(static_cast<std::int64_t>(i));
      out.behaviour.push_back(s.behaviour_logprobs[t]);
      out.versions.push_back(s.versions[t]);
    }
  }
  out.batch = pack(sequences, [&](std::size_t s, std::size_t t) { return samples[s].mask[t] != 0; });
  const auto joined = [](std::span<const std::vector<float>> table) {
    std::vector<double> rows;
    for (const auto& one : table) rows.insert(rows.end(), one.begin(), one.end());
    return doubles(rows);
  };
  if (!proximal.empty()) out.in.proximal = joined(proximal);
  if (!reference.empty()) out.in.reference = joined(reference);
  out.in.behaviour = doubles(behaviour);
  out.in.turn_weights = doubles(turn_weights);
  out.in.sequence =
      to_tensor<std::int64_t>(sequence, static_cast<std::int64_t>(sequence.size()), 0, at::kLong);
  out.in.advantages = doubles(advantages);
  out.in.weights = doubles(weights);
  return out;
}

} // namespace troupe::torch_detail

#include "gpu/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace troupe {

namespace {

constexpr int block = 64; // of the vocabulary, added up before it is added to the rest

/// The sum of one block: 16 lanes, then halves. Lanes are independent, so compilers vectorise it without
/// reordering.
double block_sum(const float* x, int n) {
  double lane[lanes] = {};
  for (int i = 0; i < n; i += lanes)
    for (int l = 0; l < lanes; ++l) lane[l] += x[i + l];
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

/// Fills block sums and returns their sum in order.
double total_of(const float* x, int n, std::vector<double>& sums) {
  sums.clear();
  double total = 0;
  for (int i = 0; i < n; i += block) {
    sums.push_back(block_sum(x + i, std::min(block, n - i)));
    total += sums.back();
  }
  return total;
}

/// The first token at which the running sum passes `target`; rounding may not run past the last token with a
/// chance.
token pick(const float* chances, int n, const std::vector<double>& sums, double target) {
  double before = 0;
  std::size_t at = 0;
  while (at + 1 < sums.size() && before + sums[at] <= target) before += sums[at++];
  token last = -1;
  for (int i = static_cast<int>(at) * block; i < n; ++i) {
    if (chances[i] <= 0) continue;
    last = i;
    before += chances[i];
    if (before > target) return last;
  }
  if (last >= 0) return last;
  for (last = static_cast<token>(at) * block - 1; chances[last] <= 0;) --last;
  return last;
}

/// The distribution that is drawn from.
struct distribution {
  float most;     ///< the greatest logit
  double inverse; ///< of the temperature
  double total;   ///< of the chances, relative to the likeliest's
  float logprob(float logit) const {
    return static_cast<float>((static_cast<double>(logit) - most) * inverse - std::log(total));
  }
};

/// All tokens within `depth` (of tempered logits) of the likeliest one: whole beginnings of the ranking.
void collect(const float* logits, int vocabulary, const distribution& of, double depth,
             std::vector<token>& out) {
  out.clear();
  for (token i = 0; i < vocabulary; ++i)
    if ((static_cast<double>(logits[i]) - of.most) * of.inverse >= -depth) out.push_back(i);
}

constexpr double depths[] = {4, 10, 30,
                             1e300}; // most rankings end early: sorting a vocabulary takes milliseconds

/// How many of the likeliest tokens, `order` (all of them, or the beginning of the ranking), are kept; none: the
/// beginning is too short to tell.
std::optional<std::size_t> kept(const std::vector<token>& order, bool all, const float* chances,
                                const sampling_params& how, double total) {
  auto keep = order.size();
  const bool by_rank = how.top_k > 0 && (all || static_cast<std::size_t>(how.top_k) <= keep);
  if (how.top_k > 0 && !by_rank) return std::nullopt;
  if (by_rank) keep = std::min(keep, static_cast<std::size_t>(how.top_k));
  std::size_t chance_enough = 0;
  while (chance_enough < keep && chances[order[chance_enough]] >= static_cast<float>(how.min_p))
    ++chance_enough;
  const bool by_chance = how.min_p > 0 && chance_enough < keep;
  if (by_chance) keep = std::max<std::size_t>(chance_enough, 1);
  if (by_rank || by_chance) {
    total = 0;
    for (std::size_t i = 0; i < keep; ++i) total += chances[order[i]];
  } else if (!all && (how.top_p >= 1.0 || how.min_p > 0)) {
    return std::nullopt;
  }
  if (how.top_p >= 1.0) return keep;
  double reached = 0;
  std::size_t n = 0;
  while (n < keep && reached < how.top_p * total) reached += chances[order[n++]];
  if (reached < how.top_p * total && !all && !by_rank && !by_chance) return std::nullopt;
  return std::max<std::size_t>(n, 1);
}

/// Zeroes the chances that top-k, min-p and top-p cut off.
void cut(const float* logits, int vocabulary, const distribution& of, const sampling_params& how,
         sampler_space& space) {
  float* chances = space.exponentials.data();
  const auto likelier = [logits](token a, token b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  std::optional<std::size_t> keep;
  for (double depth : depths) {
    collect(logits, vocabulary, of, depth, space.order);
    std::sort(space.order.begin(), space.order.end(), likelier);
    if ((keep = kept(space.order, depth == std::end(depths)[-1], chances, how, of.total))) break;
  }
  space.kept.clear();
  for (std::size_t i = 0; i < *keep; ++i) space.kept.push_back(chances[space.order[i]]);
  std::fill_n(chances, padded(vocabulary), 0.0f);
  for (std::size_t i = 0; i < *keep; ++i) chances[space.order[i]] = space.kept[i];
}

/// Fills the chances and adds them up.
distribution tempered(const float* logits, int vocabulary, double inverse, const cpu_kernels& kernels,
                      sampler_space& space) {
  const int n = padded(vocabulary);
  if (space.exponentials.size() < static_cast<std::size_t>(n))
    space.exponentials = aligned_floats(static_cast<std::size_t>(n));
  distribution out{kernels.maximum(logits, n), inverse, 0};
  kernels.exponentials(logits, out.most, static_cast<float>(inverse), space.exponentials.data(), n);
  out.total = total_of(space.exponentials.data(), n, space.block_sums);
  return out;
}

/// The likeliest tokens that have a chance, best first.
void rank(const float* logits, int vocabulary, const distribution& of, const float* chances, int top,
          std::vector<token>& order, std::vector<ranked_token>& out) {
  out.clear();
  const auto likelier = [logits](token a, token b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  order.clear();
  for (token i = 0; i < vocabulary && top > 0; ++i) { // a heap of the best so far, its worst in front
    if (chances[i] <= 0) continue;
    if (static_cast<int>(order.size()) == top) {
      if (!likelier(i, order.front())) continue;
      std::pop_heap(order.begin(), order.end(), likelier);
      order.pop_back();
    }
    order.push_back(i);
    std::push_heap(order.begin(), order.end(), likelier);
  }
  std::sort_heap(order.begin(), order.end(), likelier);
  for (token t : order) out.push_back({t, of.logprob(logits[t])});
}

} // namespace

ranked_token sample(const float* logits, int vocabulary, const sampling_params& how, double uniform,
                    const cpu_kernels& kernels, sampler_space& space, int top,
                    std::vector<ranked_token>* likeliest) {
  const bool greedy = how.temperature <= 0;
  auto of = tempered(logits, vocabulary, greedy ? 1.0 : 1.0 / how.temperature, kernels, space);
  float* chances = space.exponentials.data();
  token chosen = 0;
  if (!std::isfinite(of.total) || !(of.total > 0)) return {-1, std::nanf("")}; // SAM-4
  if (greedy) {
    chosen = static_cast<token>(std::find(logits, logits + vocabulary, of.most) - logits);
  } else {
    if (how.top_p < 1.0 || how.min_p > 0 || (how.top_k > 0 && how.top_k < vocabulary)) {
      cut(logits, vocabulary, of, how, space);
      of.total = total_of(chances, padded(vocabulary), space.block_sums);
    }
    chosen = pick(chances, padded(vocabulary), space.block_sums, uniform * of.total);
  }
  if (likeliest) rank(logits, vocabulary, of, chances, top, space.order, *likeliest);
  return {chosen, of.logprob(logits[chosen])};
}

float logprob_of(token what, const float* logits, int vocabulary, const cpu_kernels& kernels,
                 sampler_space& space, int top, std::vector<ranked_token>* likeliest) {
  const auto of = tempered(logits, vocabulary, 1.0, kernels, space);
  if (likeliest) rank(logits, vocabulary, of, space.exponentials.data(), top, space.order, *likeliest);
  return of.logprob(logits[what]);
}

void penalise(float* logits, const std::vector<token>& distinct, double penalty) {
  const auto by = static_cast<float>(penalty);
  for (token t : distinct) logits[t] = logits[t] > 0 ? logits[t] / by : logits[t] * by;
}

} // namespace troupe

#include "gpu/sampler.hpp"

#include <algorithm>
#include <cmath>

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

/// Zeroes the chances that top-k and top-p cut off.
void cut(const float* logits, float* chances, int vocabulary, const sampling_params& how, double total,
         std::vector<token>& order) {
  order.resize(static_cast<std::size_t>(vocabulary));
  for (token i = 0; i < vocabulary; ++i) order[static_cast<std::size_t>(i)] = i;
  const auto likelier = [logits](token a, token b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  auto keep = order.size();
  if (how.top_k > 0 && static_cast<std::size_t>(how.top_k) < keep) {
    keep = static_cast<std::size_t>(how.top_k);
    std::partial_sort(order.begin(), order.begin() + how.top_k, order.end(), likelier);
    total = 0;
    for (std::size_t i = 0; i < keep; ++i) total += chances[order[i]];
  } else {
    std::sort(order.begin(), order.end(), likelier);
  }
  if (how.top_p < 1.0) {
    double reached = 0;
    std::size_t n = 0;
    while (n < keep && reached < how.top_p * total) reached += chances[order[n++]];
    keep = std::max<std::size_t>(n, 1);
  }
  for (auto i = keep; i < order.size(); ++i) chances[order[i]] = 0;
}

} // namespace

drawn_token sample(const float* logits, int vocabulary, const sampling_params& how, double uniform,
                   const cpu_kernels& kernels, sampler_space& space) {
  const int n = padded(vocabulary);
  if (space.exponentials.size() < static_cast<std::size_t>(n))
    space.exponentials = aligned_floats(static_cast<std::size_t>(n));
  float* chances = space.exponentials.data();
  const bool greedy = how.temperature <= 0;
  const double inverse = greedy ? 1.0 : 1.0 / how.temperature;
  const float most = kernels.maximum(logits, n);
  kernels.exponentials(logits, most, static_cast<float>(inverse), chances, n);
  double total = total_of(chances, n, space.block_sums);
  token chosen = 0;
  if (greedy) {
    chosen = static_cast<token>(std::find(logits, logits + vocabulary, most) - logits);
  } else {
    if (how.top_p < 1.0 || (how.top_k > 0 && how.top_k < vocabulary)) {
      cut(logits, chances, vocabulary, how, total, space.order);
      total = total_of(chances, n, space.block_sums);
    }
    chosen = pick(chances, n, space.block_sums, uniform * total);
  }
  const double scaled = (static_cast<double>(logits[chosen]) - most) * inverse;
  return {chosen, static_cast<float>(scaled - std::log(total))};
}

} // namespace troupe

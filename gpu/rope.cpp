#include "gpu/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe {

namespace {

double llama3(double frequency, const rope_scaling& s) {
  const double wavelength = 2 * std::numbers::pi / frequency, original = s.original_max_position_embeddings;
  if (wavelength < original / s.high_freq_factor) return frequency;
  if (wavelength > original / s.low_freq_factor) return frequency / s.factor;
  const double smooth =
      (original / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - smooth) * frequency / s.factor + smooth * frequency;
}

/// The pairs between which YaRN's ramp runs: before `low` nothing is interpolated, from `high` on everything.
std::pair<double, double> yarn_bounds(const model_config& c) {
  const auto pair_that_turns = [&](double times) {
    return c.head_dim *
           std::log(c.scaling.original_max_position_embeddings / (times * 2 * std::numbers::pi)) /
           (2 * std::log(c.rope_theta));
  };
  double low = pair_that_turns(c.scaling.beta_fast), high = pair_that_turns(c.scaling.beta_slow);
  if (c.scaling.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, c.head_dim - 1.0);
  return {low, high == low ? high + 0.001 : high};
}

} // namespace

rope_frequencies rope_frequencies_of(const model_config& c) {
  using kind = rope_scaling::kind;
  rope_frequencies out;
  const auto [low, high] = c.scaling.type == kind::yarn ? yarn_bounds(c) : std::pair{0.0, 1.0};
  for (int i = 0; i < c.head_dim / 2; ++i) {
    const double frequency = std::pow(c.rope_theta, -2.0 * i / c.head_dim);
    switch (c.scaling.type) {
    case kind::none: out.per_pair.push_back(frequency); break;
    case kind::linear: out.per_pair.push_back(frequency / c.scaling.factor); break;
    case kind::llama3: out.per_pair.push_back(llama3(frequency, c.scaling)); break;
    case kind::yarn: {
      const double interpolated = std::clamp((i - low) / (high - low), 0.0, 1.0);
      out.per_pair.push_back(frequency / c.scaling.factor * interpolated + frequency * (1 - interpolated));
      break;
    }
    }
  }
  if (c.scaling.type == kind::yarn) out.scale = c.scaling.attention_factor;
  return out;
}

} // namespace troupe

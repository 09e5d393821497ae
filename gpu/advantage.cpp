#include "gpu/advantage.hpp"

#include "runtime/base/random.hpp"
#include <algorithm>
#include <cmath>

namespace troupe {

namespace {
double sum_of(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum;
}
} // namespace

std::optional<std::vector<double>> leave_one_out_baselines(const std::vector<double>& rewards) {
  if (rewards.size() < 2) return std::nullopt;
  const double sum = sum_of(rewards), others = static_cast<double>(rewards.size() - 1);
  std::vector<double> result;
  result.reserve(rewards.size());
  for (double own : rewards) result.push_back((sum - own) / others);
  return result;
}

std::vector<double> mean_baselines(const std::vector<double>& rewards) {
  if (rewards.empty()) return {};
  return std::vector<double>(rewards.size(), sum_of(rewards) / static_cast<double>(rewards.size()));
}

double deviation(const std::vector<double>& rewards) {
  if (rewards.empty()) return 0;
  const double mean = sum_of(rewards) / static_cast<double>(rewards.size());
  double squares = 0;
  for (double r : rewards) squares += (r - mean) * (r - mean);
  return std::sqrt(squares / static_cast<double>(rewards.size()));
}

double overlong_penalty(std::int64_t length, std::int64_t longest, std::int64_t cushion) {
  if (cushion <= 0) return 0;
  return -std::clamp(static_cast<double>(length - (longest - cushion)) / static_cast<double>(cushion), 0.0,
                     1.0);
}

bool keep_negative(double advantage, double keep, std::uint64_t seed, std::string_view trajectory) {
  if (advantage >= 0 || keep >= 1) return true;
  return uniform_at(derive_seed(derive_seed(seed, "keep_negative"), trajectory), 0, 0) < keep;
}

} // namespace troupe

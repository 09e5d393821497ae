#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace troupe {

/// (1/(K-1)) sum of the others' rewards, for each member. Fewer than two members have no baseline: nullopt.
/// Kool et al. 2019.
std::optional<std::vector<double>> leave_one_out_baselines(const std::vector<double>& rewards);

/// The group's mean for each member (Kimi K2, arXiv 2507.20534).
std::vector<double> mean_baselines(const std::vector<double>& rewards);

/// The population's standard deviation (GRPO, arXiv 2402.03300, divides advantages by it).
double deviation(const std::vector<double>& rewards);

/// DAPO's soft punishment of long answers (arXiv 2503.14476), added to a reward: 0 up to longest - cushion tokens, falling to -1 at
/// longest. cushion 0: none.
double overlong_penalty(std::int64_t length, std::int64_t longest, std::int64_t cushion);

/// Kimi-Researcher's control of negative samples: keeps a sample of negative advantage with probability
/// `keep`, drawn from (seed, trajectory id) alone, so that a repeated decision is the same one. keep = 1
/// keeps everything.
bool keep_negative(double advantage, double keep, std::uint64_t seed, std::string_view trajectory);

} // namespace troupe

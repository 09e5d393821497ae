#pragma once

#include "gym/episode.hpp"
#include <map>

namespace troupe {

struct reward_options {
  double correct = 1.0;
  double wrong = 0.0;
  double format_penalty = -0.2; ///< malformed turn, out of turns, out of context
  double gamma = 0.95;          ///< per further turn, on correct trajectories only
};

/// A judged trajectory. A failure to judge is an `error`, never a verdict.
struct verdict {
  double reward = 0; ///< undecayed: what baselines are computed from
  bool correct = false;
  std::map<std::string, double> parts; ///< "correctness", "format"
  int judge_version = 1;
};

/// Rule-based: the answer against the accepted ones after normalisation (Unicode case folding of ASCII,
/// punctuation, articles and spaces), numbers by value with their unit. Errors: invalid if the episode is not
/// done.
expected<verdict> judge_answer(const episode& finished, const reward_options& options);
bool answers_match(std::string_view given, std::string_view accepted);

/// Kimi-Researcher's decay: gamma^(T-i) for turn i = 1..T of a correct trajectory, 1 for every turn of
/// another.
std::vector<double> turn_weights(int turns, bool correct, double gamma);

} // namespace troupe

#include "gym/reward.hpp"

#include <algorithm>

namespace troupe {

expected<verdict> judge_answer(const episode& finished, const reward_options& options) {
  if (!finished.done())
    return fail(errc::invalid, "cannot judge task " + finished.what().id + ": its episode is still running");
  verdict out;
  double correctness = 0, format = 0;
  if (finished.end() == episode_end::answered) {
    const auto& answers = finished.what().answers;
    out.correct = std::any_of(answers.begin(), answers.end(),
                              [&](const std::string& one) { return answers_match(*finished.answer(), one); });
    correctness = out.correct ? options.correct : options.wrong;
  } else {
    format = options.format_penalty;
  }
  out.parts = {{"correctness", correctness}, {"format", format}};
  out.reward = correctness + format;
  return out;
}

std::vector<double> turn_weights(int turns, bool correct, double gamma) {
  std::vector<double> weights(static_cast<std::size_t>(std::max(turns, 0)), 1.0);
  if (correct)
    for (std::size_t i = weights.size(); i-- > 1;) weights[i - 1] = weights[i] * gamma;
  return weights;
}

} // namespace troupe

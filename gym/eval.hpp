#pragma once

#include "gym/metrics.hpp"
#include "gym/reward.hpp"
#include <string>

namespace troupe {

/// What the samples of one question came to. Failed rollouts are no samples: they are in no count.
struct question_result {
  std::string task;
  int hops = 0; ///< 0: unknown
  int samples = 0, correct = 0;
  int format_errors = 0;         ///< episodes that ended otherwise than in an answer
  int turns = 0, tool_calls = 0; ///< summed over the samples

  /// Counts one judged episode in.
  void add(const episode& finished, const verdict& judged);
};

/// What the figures are about.
struct eval_context {
  std::string when = "before"; ///< before | curve | after
  std::int64_t step = 0;
  std::string sampling = "t1"; ///< t1 | greedy
  double seconds = 0;
};

/// The "eval" record: every figure is a mean over questions (the unit of the intervals; the samples of one
/// question are not independent), clamped to [0, 1] where it is a share. pass_at_4 is over the questions with
/// at least 4 samples, null if there are none. Questions without a sample are left out. "by_hops" has the
/// known hop counts only.
json::object eval_record(const std::vector<question_result>& results, const eval_context& context);

} // namespace troupe

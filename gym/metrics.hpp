#pragma once

#include "runtime/base/error.hpp"
#include <array>
#include <vector>

namespace troupe {

/// 1 - C(n-c, k) / C(n, k): unbiased pass@k of n samples, c of them correct (Chen et al. 2021, arXiv
/// 2107.03374), as a product. Errors: invalid if k > n, c > n or any is negative, k < 1.
expected<double> pass_at_k(int n, int c, int k);

struct estimate {
  double mean = 0;
  std::array<double, 2> ci95{0,
                             0}; ///< of the mean over questions (samples of one question are not independent)
  int n = 0;                     ///< questions
};
/// Mean and 95 % interval over questions: Wilson's for values that are all 0 or 1, else Student's t. n = 0:
/// all zero. One single value that is neither 0 nor 1 says nothing about its spread: its interval is the
/// point itself.
estimate estimate_mean(const std::vector<double>& per_question);

} // namespace troupe

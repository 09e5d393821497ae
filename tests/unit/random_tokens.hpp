#pragma once

#include "gpu/tokenizer.hpp"
#include "runtime/base/random.hpp"

namespace troupe {

/// `n` tokens of 0 .. vocab - 1.
inline std::vector<token> random_tokens(random_stream& random, std::uint64_t n, int vocab = 100) {
  std::vector<token> out;
  while (out.size() < n) out.push_back(static_cast<token>(random.below(static_cast<std::uint64_t>(vocab))));
  return out;
}

} // namespace troupe

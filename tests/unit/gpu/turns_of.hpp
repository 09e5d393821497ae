#pragma once

#include "gpu/engine_core.hpp"
#include "runtime/base/clock.hpp"
#include <functional>
#include <gtest/gtest.h>

namespace troupe::tests {

/// Steps until so many turns have come out, or it takes too long; and some times more, in which none may come. `meanwhile` after each step.
inline std::vector<generated> turns_of(engine_core& engine, std::size_t count, duration patience,
                                       const std::function<void()>& meanwhile = {}) {
  std::vector<generated> out;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (out.size() < count && std::chrono::steady_clock::now() < end) {
    engine.step(out);
    if (meanwhile) meanwhile();
  }
  for (int i = 0; i < 5; ++i) engine.step(out);
  EXPECT_EQ(out.size(), count);
  return out;
}

} // namespace troupe::tests

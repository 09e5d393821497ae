#pragma once

#include <atomic>
#include <string>
#include <string_view>

namespace troupe {

/// Bugs on purpose, to see that the simulator finds them (sim/plants.hpp lists them, `troupe sim WORLD --plant NAME`). Nothing else
/// plants one: elsewhere this is one load and never true.
inline std::atomic<const std::string*>& planted_bug() {
  static std::atomic<const std::string*> it{nullptr};
  return it;
}
inline bool planted(std::string_view name) {
  const auto* bug = planted_bug().load(std::memory_order_relaxed);
  return bug && *bug == name;
}

} // namespace troupe

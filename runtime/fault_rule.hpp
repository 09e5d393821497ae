#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// What a fault does to an actor.
enum class fault_kind : std::uint8_t {
  kill,    ///< it ends now, wherever it is
  raise,   ///< ("throw") its next handler throws; at a point, the handler that reaches it
  stall,   ///< it takes no message for a time
  hang,    ///< it never takes a message again
  fail,    ///< the operation at a point answers with an error
  garbage, ///< the operation at a point answers with bytes that mean nothing
  slow,    ///< the operation at a point takes so much longer
};
std::string_view to_string(fault_kind what);

/// One line of a fault plan: WHAT WHOM WHEN, in words.
///
///   kill any every=2s              one of all actors, every two seconds
///   throw rollout rate=0.5         rollouts, at random, 0.5 a second on average
///   stall engine after=10s for=2s  once
///   kill rollout at=tool_result share=0.01   where the protocol is in that state, one time in a hundred
///   fail judge at=verdict nth=100  every 100th time
struct fault_rule {
  std::string text; ///< as it was written
  fault_kind what = fault_kind::kill;
  std::string whom;      ///< a kind of actor, a full name ("rollout/t3.1"), or "any"
  std::string point;     ///< empty: by time
  duration every{0};     ///< by time: period ...
  double rate = 0;       ///< ... or mean number a second ...
  duration after{0};     ///< ... or once, so long after the start
  double share = 1;      ///< at a point: chance each time it is reached
  std::uint64_t nth = 0; ///< at a point: every nth time instead of a chance
  duration length{0};    ///< of stall and slow

  bool matches(std::string_view actor) const;
};

/// A state of the protocol at which faults may strike: "tool_result" of "rollout".
struct fault_point {
  std::string_view whom, point;
  bool answers = false; ///< an operation that can be made to fail, answer garbage or be slow
};

/// What a plan may name.
struct fault_targets {
  std::vector<std::string> kinds;
  std::vector<fault_point> points;
};

/// Errors: invalid, naming the word, what was expected, and the nearest valid one.
expected<fault_rule> parse_fault_rule(const std::string& text, const fault_targets& targets);

} // namespace troupe

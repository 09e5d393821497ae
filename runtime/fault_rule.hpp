#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// What a fault does.
enum class fault_kind : std::uint8_t {
  // -- to an actor
  kill,  ///< it ends now, wherever it is
  raise, ///< ("throw") its next handler throws; at a point, the handler that reaches it
  stall, ///< it takes no message for a time
  hang,  ///< it never takes a message again
  // -- to the operation at a point
  fail,    ///< it answers with an error
  garbage, ///< it answers with bytes that mean nothing
  wrong,   ///< it answers with something well-formed of another shape than was asked for
  slow,    ///< it takes so much longer
  // -- to what it writes
  enospc,   ///< the write fails: no space
  eio,      ///< the write fails: I/O error
  flip,     ///< one bit of what was written, or of a tensor, is another
  truncate, ///< the end of what was written is missing
  // -- to a message between two actors
  drop,      ///< it never arrives
  duplicate, ///< it arrives twice
  delay,     ///< it arrives so much later
  reorder,   ///< the next one overtakes it
  // -- to the machine
  jump, ///< the wall clock is another from now on
};
std::string_view to_string(fault_kind what);

/// One line of a fault plan: WHAT WHOM WHEN, in words.
///
///   kill any every=2s                        one of all actors, every two seconds
///   throw rollout rate=0.5 attempts=1        first attempts of tasks, at random, 0.5 a second on average
///   stall engine after=10s for=2s            once
///   kill rollout at=tool_result share=0.01   where the protocol is in that state, one time in a hundred
///   fail judge at=verdict after=5s until=1m  every time, for a while
///   enospc store at=write nth=7              the 7th time (each=7: every 7th)
///   drop rollout->store share=0.1            of the messages on that way
///   jump clock by=-1h every=10s
struct fault_rule {
  std::string text; ///< as it was written
  fault_kind what = fault_kind::kill;
  std::string whom;  ///< a kind of actor, a full name ("rollout/t3.1"), or "any"; of messages: who takes them
  std::string from;  ///< of messages: who sends them; else empty
  std::string point; ///< empty: by time, or messages
  duration every{0}; ///< by time: period ...
  double rate = 0;   ///< ... or mean number a second ...
  duration after{0}; ///< ... or once, so long after the start; of all others: not before that
  duration until{0}; ///< nothing from then on; 0: no end
  double share = 1;  ///< at a point, of messages: chance each time
  std::uint64_t nth = 0;  ///< ... or only the nth time ...
  std::uint64_t each = 0; ///< ... or every so many times
  double of = 1;          ///< only this share of those actors, always the same ones
  int attempts = 0;       ///< only so many attempts of each task, the first; 0: all
  duration length{0};     ///< of stall, slow and delay ("for="); how far the clock jumps ("by=")

  bool of_messages() const { return what >= fault_kind::drop && what <= fault_kind::reorder; }
  bool by_time() const { return point.empty() && !of_messages(); }
  bool matches(std::string_view actor) const;
};

/// What happens at a point, and so what can go wrong there.
enum class fault_site : std::uint8_t {
  state,  ///< nothing but an actor's end: kill, throw
  answer, ///< ... or another answer: fail, garbage, wrong, slow
  log,    ///< ... or a write that fails: enospc, eio
  write,  ///< ... or also one that leaves something else: flip, truncate
  tensor, ///< flip
};
/// A state of the protocol at which faults may strike: "tool_result" of "rollout".
struct fault_point {
  std::string_view whom, point;
  fault_site site = fault_site::state;
};

/// What a plan may name.
struct fault_targets {
  std::vector<std::string> kinds;
  std::vector<fault_point> points; ///< also of parts that are no actors: then only there
  /// (State::name, kind) where the two differ: for messages.
  std::vector<std::pair<std::string_view, std::string_view>> states;
};

/// Errors: invalid, naming the word, what was expected, and the nearest valid one.
expected<fault_rule> parse_fault_rule(const std::string& text, const fault_targets& targets);

} // namespace troupe

#pragma once

#include "actors/ask_named.hpp"

namespace troupe {

/// Makes a run's faults happen, and writes down what came of each: when it was noticed, when service was restored.
///
/// | in           | out                                                                     |
/// | fault_struck | -  (a fault at a point of the protocol)                                 |
/// | life_news    | -  (an end or a restart, from every supervisor)                         |
///
/// | backpressure: loop | consumes    | waits for            | unblocked by |
/// | strikes            | timed rules | every / rate / after | time         |
///
///   INJ-1  Every strike is one durable record: rule, victim, when; and, once known, after how long it was detected (its supervisor
///          saw the end) and recovered (its next life runs).
///   INJ-2  Victims and times come from faults.seed.
///   INJ-3  Timed rules begin with the first training rollouts, not in the warm-up, which has no checkpoints to go back to.
class fault_injector {
public:
  static constexpr const char* name = "fault_injector";
  fault_injector(self_ptr self, context_ptr ctx);
  behavior make_behavior();

private:
  struct strike {
    std::uint64_t number = 0;
    fault_rule rule;
    std::string who;
    duration at{};
    std::optional<duration> detected, recovered;
  };
  void begin();
  void arm(std::uint64_t number, const fault_rule& rule, bool first);
  void due(std::uint64_t number);
  void hit(const fault_rule& rule, const std::string& victim);
  void note(const fault_rule& rule, const std::string& who, duration at);
  void hear(const life_news& news);
  void settle(const strike& what);

  self_ptr self_;
  context_ptr ctx_;
  random_stream random_;
  duration started_{};
  std::uint64_t next_ = 0;
  std::vector<strike> open_; ///< not recovered yet
};

} // namespace troupe

#pragma once

#include "actors/ask_named.hpp"
#include <deque>

namespace troupe {

/// Makes a run's faults happen, and writes down what came of each: when it was noticed, when service was restored, what was done again.
///
/// | in           | out                                                                     |
/// | fault_struck | -  (a fault at a point of the protocol)                                 |
/// | fault_added  | -  (a rule more: it is armed)                                           |
/// | life_news    | -  (an end or a restart, from every supervisor)                         |
/// | fault_effect | -  (what somebody noticed, or had to do again)                          |
///
/// | backpressure: loop | consumes    | waits for            | unblocked by |
/// | strikes            | timed rules | every / rate / after | time         |
/// At most 10,000 strikes wait for their consequences; the oldest are written down as they are.
///
///   INJ-1  Every strike is one durable record at once: rule, victim, when. A second one, when its consequences are known: after how
///          long it was detected (its supervisor or a checksum saw it) and recovered (the next life runs, the next write is well), and
///          what was done again for it: turns, steps. Strikes on messages are counted, and recorded once a second.
///   INJ-2  Victims and times come from faults.seed.
///   INJ-3  Rules begin with the first training rollouts, not in the warm-up, which has no checkpoints to go back to.
class fault_injector {
public:
  static constexpr const char* name = "fault_injector";
  fault_injector(self_ptr self, context_ptr ctx);
  ~fault_injector(); ///< what is known of open strikes is written down: INJ-1 holds for the last ones of a run, too
  behavior make_behavior();

private:
  struct strike {
    std::uint64_t number = 0;
    fault_rule rule;
    std::string who;
    duration at{};
    std::optional<duration> detected, recovered;
    std::uint64_t turns = 0, steps = 0; ///< done again
  };
  void begin();
  void arm(std::uint64_t number, const fault_rule& rule, bool first);
  void due(std::uint64_t number);
  void hit(const fault_rule& rule, const std::string& victim);
  void note(const fault_rule& rule, const std::string& who, duration at, std::uint64_t count = 1);
  void hear(const life_news& news);
  void take(const fault_effect& news);
  /// The newest open strike that may have had this effect.
  strike* cause(const fault_effect& news);
  void look();
  void count_messages();
  void settle(const strike& what);
  static append_records outcome_of(const strike& what);
  static append_records record_of(std::string kind, const strike& what, json::object body);
  void write(append_records what);

  self_ptr self_;
  context_ptr ctx_;
  random_stream random_;
  duration started_{};
  std::uint64_t next_ = 0;
  std::deque<strike> open_;                        ///< their consequences are not all known yet, oldest first
  std::map<std::uint64_t, std::uint64_t> counted_; ///< strikes on messages that are recorded, by rule
};

} // namespace troupe

#pragma once

#include "actors/ask_named.hpp"
#include "runtime/circuit_breaker.hpp"
#include <deque>

namespace troupe {

/// Turns a finished episode into a verdict by rules.
///
/// | in            | out                                                                        |
/// | judge_request | verdict, or an error: then there is no reward, and the rollout has failed  |
///
/// | backpressure: loop | consumes          | waits for                             | unblocked by        |
/// | judging            | finished episodes | a judge that fails (JUDGE-2)          | a probe that it answers |
/// Bounded by the rollouts that run; each waits for at most judge.patience.
///
///   JUDGE-1  An error, or an answer that is no verdict, is never a reward.
///   JUDGE-2  After judge.trip_after failures in a row nobody is judged; one waiting episode after the other tries, once every
///            judge.probe_every. The first that is judged opens the way for all.
///   JUDGE-3  An episode that failed three times while others were judged is the one that is wrong: it fails alone.
/// A restart loses who waits; they ask again (ask_named).
class judge_actor {
public:
  static constexpr const char* name = "judge";
  judge_actor(self_ptr self, context_ptr ctx);
  behavior make_behavior();

private:
  struct waiting {
    std::shared_ptr<const episode> finished;
    std::vector<reply<verdict>> askers; ///< a repeated request joins the first
    duration since{0};
    int failures = 0;
    std::uint64_t judged_before = 0; ///< at its first failure
  };
  void judge_waiting();
  expected<verdict> ask_judge(const episode& finished, duration& takes) const;
  /// True: that episode is done with.
  bool failed(waiting& it, const error& why);

  self_ptr self_;
  context_ptr ctx_;
  circuit_breaker breaker_;
  std::deque<waiting> waiting_;
  std::uint64_t judged_ = 0;
  bool probe_planned_ = false, slow_ = false;
};

/// What is wrong with a verdict: not a number, or parts that are not those of the rules, or do not add up; empty: nothing.
std::string fault_of(const verdict& given);

} // namespace troupe

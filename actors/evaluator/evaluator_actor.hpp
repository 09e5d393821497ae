#pragma once

#include "actors/ask_named.hpp"
#include "gym/eval.hpp"
#include <deque>
#include <set>

namespace troupe {

/// Measures the published policy on held-out tasks: rollouts like any other, but none of them reaches the replay buffer.
///
/// | in               | out                                                      |
/// | evaluate         | metric_record: the "eval" record, when every rollout ended|
/// | rollout_finished | -                                                        |
/// | rollout_failed   | -  (no sample: it is in no count)                        |
///
/// | backpressure: loop | consumes  | waits for                | unblocked by        |
/// | rollouts           | questions | running < max_concurrent | a rollout that ends |
///
///   EVAL-1  The same (round, question, sample) is the same rollout: an evaluation that starts again finishes what is durable
///           without sampling it again.
///   EVAL-2  A failed rollout is missing data, never a wrong answer; its count is in the record.
///   EVAL-3  While it runs, training rollouts leave it their slots (rollout.preempt); it does not wait for them.
class evaluator_actor {
public:
  static constexpr const char* name = "evaluator";
  evaluator_actor(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) { want_slots(0); }
  behavior make_behavior();

private:
  void fill();
  void want_slots(std::size_t n);
  void ended(const rollout_key& key);
  rollout_key key_of(std::size_t question, int sample) const;

  self_ptr self_;
  context_ptr ctx_;
  std::optional<reply<metric_record>> asker_;
  evaluate what_;
  duration started_{};
  std::deque<rollout_key> waiting_;
  std::set<rollout_key> running_;
  std::vector<question_result> results_;
  std::uint64_t failed_ = 0;
};

} // namespace troupe

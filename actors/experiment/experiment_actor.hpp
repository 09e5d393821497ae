#pragma once

#include "actors/ask_named.hpp"
#include <set>

namespace troupe {

/// The algorithm of a run, in the order in which it happens:
///
///   warm-up -> evaluate (before) -> [ train step -> publish -> evaluate now and then (curve) ]* -> evaluate (after) -> end
///
/// Rollouts, tools and judging overlap with training by themselves (mode async): this loop only paces the learner.
///
/// | in                        | out                                                    |
/// | begin                     | -                                                      |
/// | pause_run, resume_run     | done                                                   |
/// | stop_run                  | done; the run ends, resumable                          |
/// | experiment_status_request | metric_record: state, progress                         |
///
/// | backpressure: loop | consumes | waits for          | unblocked by              |
/// | steps              | batches  | learner, evaluator | step_report, eval record  |
///
///   EXP-1  Every stage can be entered again: what is done is found in the store and not done twice.
///   EXP-2  While an evaluation runs, the weights do not change.
///   EXP-3  A pause takes effect between two steps and parks what runs at its next turn boundary; nothing is dropped. A stop does
///          the same and waits at most 1.5 s for it: a turn that is not finished by then goes on where its tokens were journaled.
class experiment_actor {
public:
  static constexpr const char* name = "experiment";
  experiment_actor(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {}
  behavior make_behavior();

private:
  struct evaluation {
    std::string when;
    std::uint64_t round, step;
    std::string sampling;
    int questions, samples;
  };
  void warm_up_stage();
  void before_stage();
  void next_step();
  bool out_of_time() const;
  void take_report(const step_report& report);
  void after_stage();
  void drain(const std::string& why, duration end);
  void finish(std::optional<error> why);

  /// Runs one evaluation, unless its record is there already.
  void run_evaluation(evaluation what, std::function<void()> then);
  void note(json::object body, std::function<void()> then);
  void stage(std::string_view name, bool start, std::function<void()> then);
  void admission(bool open, bool park = false);
  json::object status() const;

  self_ptr self_;
  context_ptr ctx_;
  std::set<std::string> recorded_;
  std::string state_ = "starting";
  bool paused_ = false, waiting_while_paused_ = false, ended_ = false;
  double rl_seconds_before_ = 0; ///< of earlier lives
  duration stage_started_{}, rl_started_{}, last_status_at_{};
  engine_status last_engine_;
  double last_learner_busy_ = 0;
  json::object last_step_;
  int disagreements_ = 0; ///< with the learner about the version, in a row
};

} // namespace troupe

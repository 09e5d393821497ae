#pragma once

#include "actors/ledger.hpp"

namespace troupe {

/// The learning rate of a step of the warm-up, from 0.
double warm_up_rate(const run_config& config, std::int64_t step);

/// Owns the policy's weights, its optimizer and the checkpoints. On a thread of its own: its handlers compute for seconds.
///
/// | in         | out                                                                                           |
/// | warm_up    | done, when version 0 is durable and published                                                 |
/// | train_step | step_report, when version step+1 is durable and published                                     |
/// | weights_damaged | done; they are published again                                                           |
/// tells: metric_record to the recorder (warm-up progress); version_published to the manager; batch_consumed to replay.
///
/// | backpressure: loop | consumes     | waits for             | unblocked by      |
/// | train_step         | whole groups | the batch of the step | the replay buffer |
/// | warm_up            | scripted demonstrations | -          | -                 |
///
///   LEARN-1  Order of a step: train, checkpoint (weights, optimizer, what was consumed, in one manifest), consumption record,
///            publication. Whatever dies in between, a batch counts once: the manifest decides.
///   LEARN-2  The engine has the new weights before the manager hears of the new version; where they are older ones, the manager
///            has stopped what was admitted for newer ones before the engine has them.
///   LEARN-3  A batch with a token older than eta is refused.
///   LEARN-4  A repeated train_step of a finished step is answered from the checkpoint, not trained again.
///   LEARN-5  At every step, logprobs recorded by the engine are compared with those that the weights of their version give here
///            (max_logprob_gap); beyond 5e-5 it is a warning. Where the learner computes in bfloat16: beyond a KL of 0.01 (engine_kl).
///   LEARN-6  A checkpoint names the place in the store's log beside which it was made (actors/audit.hpp). A start refuses a checkpoint
///            and a store that do not belong together: an older or another run's file put in place of either.
///   LEARN-7  A warm-up that ended in its middle goes on from its last checkpoint (warmup.checkpoint_every) to the same weights, bit
///            for bit.
class learner_actor {
public:
  static constexpr const char* name = "learner";
  learner_actor(self_ptr self, context_ptr ctx);
  behavior make_behavior();

private:
  // -- start
  void check_store(const ledger& book);
  void reconcile(const ledger& book);
  // -- warm-up
  void warm_up_some();
  bool take_cached_warm_up();
  void resume_warm_up();
  void keep_warm_up();
  void say(std::string_view level, std::string text);
  void finish_warm_up();
  // -- training
  void ask_batch(std::uint64_t step);
  void train(const batch_ptr& what);
  void publish(std::function<void()> then, int tries = 1);
  void report_step();
  /// LEARN-5, on a few samples of the batch: the largest gap and how many tokens were compared.
  std::pair<double, std::int64_t> compare_logprobs(const batch& what);
  double learning_rate(std::uint64_t step) const;
  /// Writes a checkpoint, however long the disk is full; then goes on.
  void save(bool with_optimizer, json::object extra, std::function<void()> then);
  void try_save(const std::shared_ptr<const checkpoint>& what, const std::function<void()>& then);
  void commit_consumption();

  self_ptr self_;
  context_ptr ctx_;
  std::unique_ptr<learner> model_;
  std::uint64_t version_ = 0; ///< = optimizer steps (batches) taken
  bool has_checkpoint_ = false, ready_ = false;
  json::object last_extra_; ///< of the newest checkpoint: consumption and report of its step
  batch_ptr last_batch_;
  std::map<std::uint64_t, weights_ptr>
      recent_;                       ///< published weights that tokens of the next batches may come from
  std::unique_ptr<learner> checker_; ///< computes with recent weights; never trained
  std::uint64_t lineage_ = 0;
  std::optional<reply<done>> warm_up_asker_;
  std::optional<reply<step_report>> step_asker_;
  std::optional<std::uint64_t> busy_step_;
  std::int64_t warm_up_step_ = 0, warm_up_from_ = 0; ///< done; done by earlier lives
  bool warming_ = false, warm_up_begun_ = false;
  bool tidied_ = false; ///< what an earlier life freed is given back
  double warm_up_tokens_ = 0, warm_up_seconds_ = 0, last_loss_ = 0;
  duration warm_up_told_{};
  double busy_seconds_ = 0;
  double engine_kl_ = 0; ///< of the last comparison of logprobs: k3
};

} // namespace troupe

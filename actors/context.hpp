#pragma once

#include "actors/cluster/node_lease.hpp"
#include "actors/fault_injector/redone_work.hpp"
#include "actors/messages.hpp"
#include "actors/run_config.hpp"
#include "gpu/checkpoint.hpp"
#include "gym/task_order.hpp"
#include "runtime/base/planted.hpp"
#include "runtime/directory.hpp"
#include "runtime/jumping_clock.hpp"
#include "runtime/metrics.hpp"
#include "runtime/supervisor.hpp"
#include "tools/tool.hpp"
#include <atomic>
#include <mutex>
#include <set>

namespace troupe {

/// The weights that rollouts use now: written by the learner, read by an engine that starts (again) and by the manager. Thread-safe.
class weight_board {
public:
  struct entry {
    weights_ptr weights; ///< null before the first publication
    std::uint64_t version = 0;
    std::uint64_t lineage =
        0; ///< rollbacks of the run before these were made: with the version it names the weights
    std::string checksum; ///< weights_checksum of what was published; empty: nobody compares
  };
  entry current() const {
    std::scoped_lock lock(mutex_);
    return entry_;
  }
  void publish(weights_ptr weights, std::uint64_t version, std::uint64_t lineage = 0,
               std::string checksum = {}) {
    std::scoped_lock lock(mutex_);
    if (planted("board_keeps_weights") && entry_.weights) weights = entry_.weights, checksum.clear();
    entry_ = {std::move(weights), version, lineage, std::move(checksum)};
  }
  /// The version that the engine is known to have: what is admitted now has no older token. Goes down only when the weights go
  /// back to an older checkpoint.
  std::uint64_t confirmed() const { return confirmed_; }
  void confirm(std::uint64_t version) { confirmed_ = version; }

private:
  mutable std::mutex mutex_;
  entry entry_;
  std::atomic<std::uint64_t> confirmed_{0};
};

/// Effects that are being made in this process, by idempotency key: a call that is asked for its outcome is not in progress. Thread-safe.
class effects_in_progress {
public:
  /// False: another life of the same call is at it.
  bool begin(const std::string& key) {
    std::scoped_lock lock(mutex_);
    return keys_.insert(key).second;
  }
  void end(const std::string& key) {
    std::scoped_lock lock(mutex_);
    keys_.erase(key);
  }

private:
  std::mutex mutex_;
  std::set<std::string> keys_;
};

/// How a supervisor tells a learner that is killed now and then from one that never gets anywhere. Thread-safe.
struct learning_progress {
  std::atomic<bool> asked{false};       ///< for a warm-up or a step that is not done yet
  std::atomic<std::uint64_t> made{0};   ///< the newest version that was ever published, from 1
  std::atomic<std::uint64_t> warmed{0}; ///< the newest step of the warm-up that was ever saved
};

/// What a run is made of that a simulation replaces: everything that computes with tensors or touches a disk.
struct run_parts {
  std::function<expected<std::unique_ptr<engine_core>>()> make_engine;
  std::function<expected<std::unique_ptr<learner>>(const model_weights& start)> make_learner;
  std::function<expected<std::unique_ptr<event_store>>()> open_store;
  std::function<expected<void>(const checkpoint&)> save_checkpoint;
  std::function<expected<checkpoint>()> load_checkpoint; ///< the newest good one; not_found: none
  /// The model that the run begins with; empty: one is made from scratch.
  std::function<expected<model_weights>()> start_weights;
  std::function<void(const error&)> on_damaged_checkpoint; ///< hears of one that is passed over; may be empty
  /// The warm-up's weights from an earlier run with the same inputs, and where to leave them. May be empty functions.
  std::function<std::optional<model_weights>()> load_warmup;
  std::function<expected<void>(const model_weights&)> save_warmup;
  /// The middle of a warm-up, step and optimizer included, for a life that goes on with it. `drop`: it is over. May be empty functions.
  std::function<expected<void>(const checkpoint&)> save_warmup_part;
  std::function<expected<checkpoint>()> load_warmup_part; ///< the newest good one; not_found: none
  std::function<void()> drop_warmup_parts;
  duration engine_step_time{}; ///< what a step takes where computing takes no time
};

/// What every actor of a run shares and none changes. Made once, before the first actor.
struct run_context {
  run_config config;
  std::filesystem::path folder;
  run_parts parts;

  trajectory_rules rules;
  std::optional<model_config> shape; ///< of the model that the run begins with; none: the configuration's
  model_config model_shape() const { return shape ? *shape : config.model_shape(rules.words->vocab_size()); }
  tool_set tools;
  std::vector<task> train, heldout;
  /// The warm-up batch of a step: a pure function of the seed and the step.
  std::function<std::vector<sft_sample>(std::int64_t step)> warmup_batch;
  /// Curated samples for the PTX term of a step; empty where the weight is 0.
  std::function<std::vector<sft_sample>(std::uint64_t step)> ptx_batch;

  directory_ptr names = std::make_shared<directory>();
  std::shared_ptr<weight_board> board = std::make_shared<weight_board>();
  std::shared_ptr<effects_in_progress> effects = std::make_shared<effects_in_progress>();
  std::shared_ptr<learning_progress> learning = std::make_shared<learning_progress>();
  std::shared_ptr<std::atomic<std::uint64_t>> restarts = std::make_shared<std::atomic<std::uint64_t>>(0);
  /// Whether training rollouts may start: the experiment's wish, kept here so that a restarted manager knows it.
  std::shared_ptr<std::atomic<bool>> admission = std::make_shared<std::atomic<bool>>(false);
  /// Rollouts that an evaluation in progress wants to run: training ones leave them their slots (rollout.preempt).
  std::shared_ptr<std::atomic<std::size_t>> evaluation_slots = std::make_shared<std::atomic<std::size_t>>(0);
  std::shared_ptr<metrics_registry> metrics = std::make_shared<metrics_registry>();
  // Looked up once: a tool call is short.
  metric_counter tool_calls = metrics->counter("troupe_tool_calls_total", "Tool calls that ran.");
  metric_counter tool_cpu = metrics->counter("troupe_tool_cpu_seconds_total", "CPU time inside of tools.");
  /// Messages between actors may be lost in this run: requests are sent again when no answer has come for so long, and news is told
  /// until it is acknowledged. None: nothing is lost inside a process.
  std::optional<duration> repeat_after;
  /// The engine's server (engine.remote) does not answer: turns wait for it, however long.
  std::shared_ptr<std::atomic<bool>> engine_away = std::make_shared<std::atomic<bool>>(false);
  /// When it was last said that the disk is full (monotonic nanoseconds; 0: never).
  std::shared_ptr<std::atomic<std::int64_t>> disk_full_said = std::make_shared<std::atomic<std::int64_t>>(0);
  /// The control server's port, once it listens.
  std::shared_ptr<std::atomic<std::uint16_t>> control_port = std::make_shared<std::atomic<std::uint16_t>>(0);
  /// Null: a run of one node.
  cluster_ptr cluster;
  /// What goes wrong on purpose; null unless faults.enabled.
  fault_plan_ptr faults;
  std::shared_ptr<redone_work> redone;       ///< the same
  std::shared_ptr<jumping_clock> wall_clock; ///< the same; then `time` is it
  const clock* time = nullptr;
  thread_policy threads;
  /// Every metric record as it happens: the live view.
  std::function<void(const json::object&)> on_record;
  /// The run has ended: empty, or why it could not go on.
  std::function<void(std::optional<error>)> on_end;

  std::uint64_t seed_for(std::string_view what) const {
    return derive_seed(static_cast<std::uint64_t>(config.seed), what);
  }
  /// The task of the n-th training group: every epoch is a fresh permutation of the training tasks (gym/task_order.hpp).
  const task& train_task(std::uint64_t group) const { return train[order[group]]; }
  task_order order{1, 0};
};
using context_ptr = std::shared_ptr<const run_context>;

/// A task of the run, shared: it lives as long as the run does.
inline std::shared_ptr<const task> shared_task(const context_ptr& ctx, const task& what) {
  return {ctx, &what};
}

// -- names in the directory
namespace names {
inline const std::string store = "store", engine = "engine", judge = "judge", tools = "tools",
                         rollouts = "rollouts", manager = "manager", replay = "replay", learner = "learner",
                         evaluator = "evaluator", recorder = "recorder", experiment = "experiment",
                         control = "control", faults = "faults", health = "health", cluster = "cluster",
                         node = "node";
}

} // namespace troupe

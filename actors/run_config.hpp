#pragma once

#include "gpu/engine_core.hpp"
#include "gpu/learner.hpp"
#include "gym/episode.hpp"
#include "gym/reward.hpp"
#include "gym/world.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/config.hpp"

namespace troupe {

/// A time as configurations give it, in seconds.
inline duration from_seconds(double s) {
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>(s));
}

/// Everything that a run is. One struct per section of the YAML file; `visit` lists every key with its unit, range and meaning,
/// from which loading, `troupe config explain` and docs/config.md are made.
struct run_config {
  struct run_section {
    std::string name = "quickstart";
    std::string folder = "runs";
  } run;
  std::int64_t seed = 1;

  struct data_section {
    std::string tasks;  ///< empty: the built-in world's
    std::string corpus; ///< empty: the built-in world's
    double heldout_share = 0.3;
    std::int64_t cities_per_country = 14;
    std::int64_t train_questions = 4000;
    std::int64_t heldout_questions = 400;
  } data;

  struct model_section {
    std::string path;   ///< empty: made from scratch
    std::string system; ///< of a model with a chat template; empty: a text of its own
    std::int64_t vocab_size = 1024, hidden_size = 128, layers = 4, heads = 4, kv_heads = 4, head_dim = 32,
                 ffn_size = 352;
    std::int64_t context = 384;
    double rope_theta = 10000;
    bool previous_token_map = true;
  } model;

  struct warmup_section {
    bool enabled = true;
    std::string data; ///< empty: demonstrations of the built-in world
    std::int64_t steps = 2000, batch_tokens = 1300;
    double learning_rate = 2e-3, other_text_weight = 0.05;
    std::int64_t lr_warmup_steps = 50;
    double lr_final_share = 0.1;
    double drills_first = 0.9, drills_last = 0.3, reading_first = 0.4, reading_last = 0.5;
    double bridging_first = 0.33, bridging_last = 0.33, digits = 0, opens = 0, fictional = 0.85;
    double good = .22, useless = .10, lazy = .36, guess = .15, wrong_field = .09, malformed = .08;
    bool cache = true;
    std::int64_t checkpoint_every = 200;
  } warmup;

  struct rl_section {
    std::string mode = "async";
    std::int64_t eta = 1, steps = 60, groups_per_step = 16, group_size = 8, minibatches = 2;
    double learning_rate = 4e-4, lr_final_share = 0.05;
    std::int64_t lr_warmup_steps = 3;
    std::string loss = "reinforce";
    double tau = 0.1, gamma = 0.95, negative_keep = 0.5, ptx_weight = 0, clip_norm = 1, weight_decay = 0;
    double ratio_cap = 2, clip_low = 0, clip_high = 0, dual_clip = 3, length_constant = 0, kl_weight = 0;
    std::string proximal = "recompute", correction = "none", correction_level = "token";
    double correction_low = 0.5, correction_high = 2;
    std::int64_t overlong_tokens = 0, overlong_cushion = 0;
    bool deterministic = false;
    std::string kv_on_update = "recompute", beyond_eta = "mask";
    double time_limit = 0;
  } rl;

  struct rollout_section {
    std::int64_t max_concurrent = 96, max_turns = 5, max_turn_tokens = 40, max_observation_chars = 240;
    std::int64_t max_calls_per_turn = 4;
    double temperature = 1.0;
    double turn_timeout = 120, time_budget = 600;
    std::string over_budget = "park", parked_kv = "free";
    std::int64_t max_parked_groups = 16;
    bool park_on_publish = false;
    double journal_interval = 0.05;
    bool preempt = true;
    double format_penalty = -0.2;
  } rollout;

  struct tools_section {
    std::int64_t search_results = 1, snippet_chars = 200, page_chars = 1200;
    double timeout = 10;
    double simulated_latency = 0; ///< median, seconds; log-normal with p99 = simulated_tail x median
    double simulated_tail = 10;
  } tools;

  struct eval_section {
    std::int64_t questions = 300, samples = 4, curve_questions = 150, every = 10;
    bool before = true;
  } eval;

  struct engine_section {
    std::int64_t threads = 1, max_sequences = 96, kv_tokens = 200000, prefill_chunk = 512;
    std::string device = "cpu", compute = "float32";
    std::string remote;         ///< empty: in this process
    std::string remote_key_env; ///< never the key itself: a run's configuration is kept and shown
  } engine;

  struct learner_section {
    std::int64_t threads = 1, max_tokens_per_pass = 4096, check_samples = 2;
    std::string optimizer = "adamw", compute = "float32", device = "cpu";
    bool recompute_layers = false;
    std::int64_t logits_mib = 512;
    std::int64_t lora_rank = 0;
    double lora_alpha = 16;
    std::vector<std::string> lora_targets = adapter_options{}.targets;
  } learner;

  struct checkpoint_section {
    std::int64_t every = 1, keep = 3;
  } checkpoint;

  struct telemetry_section {
    std::string log_level = "info";
    bool trace = false;
  } telemetry;

  struct judge_section {
    std::int64_t trip_after = 3;
    double probe_every = 1, patience = 600;
  } judge;

  struct faults_section {
    bool enabled = false;
    std::int64_t seed = 0;
    std::vector<std::string> plan;
  } faults;

  struct health_section {
    bool enabled = true;
    double patience = 0.7, store_patience = 10, learner_patience = 300;
    std::int64_t crash_loop = 8;
  } health;

  struct control_section {
    bool enabled = true;
    std::string address = "127.0.0.1";
    std::int64_t port = 0;
  } control;

  void visit(config_visitor& v);
  /// Contradictory keys. Errors: invalid, naming both keys.
  expected<void> check() const;
  expected<void> check_learning() const; ///< part of it

  // -- the same, as the parts below want it
  model_config model_shape(int vocab_size) const;
  engine_limits engine_shape() const;
  learner_options learner_shape() const;
  rl_options rl_shape(double learning_rate) const;
  episode_limits episode_shape() const;
  reward_options reward_shape() const;
  world_options world_shape() const;
  /// The built-in world is the same for every run seed, so that runs are comparable and the data is cached once.
  static constexpr std::uint64_t seed_of_world = 1;
  int rollouts_per_step() const { return static_cast<int>(rl.groups_per_step * rl.group_size); }
};

} // namespace troupe

#pragma once

#include "actors/trajectory.hpp"
#include "runtime/fault_plan.hpp"
#include "runtime/message_types.hpp"

/// Every message between Troupe's actors, in the order of a task's path. Those that carry shared immutable objects stay inside a
/// process; bulk data (weights, samples) is shared by pointer, never copied into a message.
namespace troupe {

// One message, one line, so that the page reads as a table.
// clang-format off

// -- rollout manager -----------------------------------------------------------------------------------------------------
/// A rollout to run. What is in it is enough to start it again from nothing but the store.
struct rollout_job {
  rollout_key key;
  std::shared_ptr<const task> what; ///< the run's own
  sampling_params sampling;
  std::uint64_t version = 0; ///< its group's: no older weights sample it
  std::string report_to; ///< directory name that takes the finished rollout: "replay" or "evaluator"
  write_fence placed{}; ///< where there are several nodes (actors/cluster/)
};
struct version_published { std::uint64_t version = 0; }; ///< learner -> manager: version+1 batches may be in flight. -> done
/// experiment -> manager: run_context::admission has changed. `park`: running rollouts stop at their next turn boundary. -> done
struct admission_changed { bool park = false; };
/// learner -> manager, before it publishes older weights again. -> done: no rollout runs that was admitted for newer ones
struct weights_went_back {};
struct group_retired { std::uint64_t group = 0; };  ///< replay -> manager: it was stale, another takes its place. -> done
struct group_readmitted { std::uint64_t group = 0, version = 0, report = 0; }; ///< manager -> replay: its parked rollouts go on. -> done
struct recover_rollouts {};                     ///< replay -> manager: start every open group's rollouts (again). -> done
struct rollouts_lost {};                       ///< their supervisor died with all of them: start what was running again
struct rollout_parked { rollout_key key; std::uint64_t report = 0; };    ///< rollout -> replay and manager, after its record is durable: its slot is free
/// rollout -> manager: it waits for a slot again, with all it needs in the store; not parked, its group stays where it is
struct slot_yielded { rollout_key key; std::uint64_t report = 0; };
struct slots_changed {};                       ///< evaluator -> manager: it wants more or fewer slots (run_context::evaluation_slots). -> done
/// control -> manager: try a quarantined rollout again. -> done. not_found: it is none; conflict: its group has left
struct retry_rollout { rollout_key key; };
struct retry_wanted { rollout_key key; };      ///< manager -> replay. -> retry_granted: the failure does not count any more
struct retry_granted { std::uint64_t version = 0; }; ///< of its group
struct rollout_ended { rollout_key key; std::uint64_t report = 0; }; ///< rollout -> manager: its slot is free. -> done
struct manager_status_request {};              ///< -> manager_status
struct manager_status {
  std::uint64_t admitted_groups = 0, running = 0, version = 0, parked_groups = 0;
};

// -- engine --------------------------------------------------------------------------------------------------------------
/// -> generated. `oldest`: no token of it may be of older weights, whoever asked for it before. Who listens to a streaming request is
/// told of its tokens in the step that samples them.
struct generate { generate_request request; std::uint64_t oldest = 0; actor_ref listener{}; };
struct tokens_sampled { std::vector<token_news> news; };  ///< engine -> listener, once a step
struct cancel_generation { std::uint64_t sequence = 0; }; ///< ends it before the next step; its `generate` fails with cancelled
struct cancel_listened {};                      ///< a listener's new life -> engine: what its last one asked for is of no use
struct pause_engine { bool paused = true; };    ///< no step while paused; what runs stays as it is. -> done
struct forget_sequence { std::uint64_t sequence = 0; };
/// -> done, when the next step will use them. `lineage`: rollbacks of the run before it made these weights. Without a policy, that of the
/// configuration. Errors: corrupt (they are not what the board's checksum says), conflict (they are not those on the board).
struct new_weights { weights_ptr weights; std::uint64_t version = 0, lineage = 0; std::optional<kv_policy> policy{}; };
struct weights_damaged { std::uint64_t version = 0; }; ///< engine -> learner: those on the board; publish them again. -> done
struct engine_step {};                          ///< engine to itself
struct write_tokens {};                         ///< engine to itself: its journal is due
struct engine_status_request {};                ///< -> engine_status
struct engine_status {
  engine_stats core;
  double busy_seconds = 0, alive_seconds = 0;
  std::uint64_t journal_records = 0, journal_bytes = 0; ///< written in this life
  std::uint64_t journal_kept = 0;                       ///< tokens that did not have to be sampled again
};

// -- tool call -----------------------------------------------------------------------------------------------------------
struct run_tool {};                             ///< tool call to itself
struct tool_finished {                          ///< tool call -> rollout. -> done
  std::uint64_t turn = 0;
  std::size_t call = 0;
  observation result;
  bool committed = false;                       ///< by the call itself: it had an effect
  std::optional<error> lost = {};               ///< no result: nobody knows whether it had its effect
};

// -- rollout -------------------------------------------------------------------------------------------------------------
/// manager -> rollout: free the slot at the next turn boundary. `soon`: also if this life has not finished a turn yet.
struct park_rollout { bool soon = false; };
struct yield_slot {};                           ///< manager -> rollout: free the slot at the next turn boundary, for one that comes first
struct unpark_rollout { write_fence placed{}; };  ///< manager -> rollout that waits parked for its tools: it has a slot again. -> done

// -- rollout to itself ---------------------------------------------------------------------------------------------------
struct tool_check { std::uint64_t number = 0; };    ///< now and then while tool calls are open

// -- judge ---------------------------------------------------------------------------------------------------------------
struct judge_request { std::shared_ptr<const episode> finished; }; ///< -> verdict

// -- finished rollouts ---------------------------------------------------------------------------------------------------
using trajectory_ptr = std::shared_ptr<const trajectory>;
struct rollout_finished { trajectory_ptr what; };      ///< rollout -> replay or evaluator, after the verdict is durable
struct rollout_failed {                                ///< no verdict: never a reward
  rollout_key key;
  error reason;
};

// -- replay buffer -------------------------------------------------------------------------------------------------------
struct group_admitted { std::uint64_t group = 0; std::uint64_t version = 0; }; ///< manager -> replay, after the record is durable. -> done
/// What one optimizer step sees: whole groups, in admission order.
struct batch {
  std::uint64_t step = 0;
  std::uint64_t lineage = 0;                           ///< rollbacks before it: of an undone step it does not count
  std::vector<std::uint64_t> groups;
  std::vector<rl_sample> samples;                      ///< those with a gradient, baseline set
  std::vector<std::pair<std::string, std::string>> retired; ///< (rollout, reason) of the groups' other rollouts
  json::object statistics;                             ///< rewards, turns, staleness: for the step's metric record
};
using batch_ptr = std::shared_ptr<const batch>;
/// learner -> replay: version == step; `before` is the step's before it, consumed, or null. -> batch_ptr
struct next_batch { std::uint64_t step = 0; batch_ptr before; };
struct batch_consumed { batch_ptr what; };             ///< learner -> replay: its consumption is durable. -> done
struct reread_books {};                                ///< learner -> replay: its start changed the ledger. -> done
struct balance_request {};                             ///< -> balance
/// Conservation: accepted = trained + pending + parked + retired, in rollouts, at any moment.
struct balance {
  std::uint64_t accepted = 0, trained = 0, pending = 0, parked = 0;
  std::map<std::string, std::uint64_t> retired; ///< by reason
  std::uint64_t retired_total() const {
    std::uint64_t n = 0;
    for (const auto& [reason, count] : retired) n += count;
    return n;
  }
  bool holds() const { return accepted == trained + pending + parked + retired_total(); }
};

// -- learner -------------------------------------------------------------------------------------------------------------
struct warm_up {};                             ///< experiment -> learner. -> done, when the warm-up's weights are published
struct warm_up_step {};                        ///< learner to itself
struct train_step { std::uint64_t step = 0; }; ///< experiment -> learner: step N makes version N+1. -> step_report
struct step_report {
  std::uint64_t step = 0, version = 0;
  json::object record;                         ///< the step's metric record, without the engine's part
};

// -- evaluator -----------------------------------------------------------------------------------------------------------
struct evaluate {                              ///< experiment -> evaluator. -> metric_record
  std::string when;                            ///< "before" | "curve" | "after"
  std::uint64_t round = 0;                     ///< unique: repeated, it is the same evaluation
  std::uint64_t step = 0;
  std::string sampling;                        ///< "t1" | "greedy"
  int questions = 0, samples = 1;
};
struct metric_record { json::object body; };   ///< -> recorder; and reply of evaluate

// -- fault injector ------------------------------------------------------------------------------------------------------
struct fault_struck { fault_strike what; duration at{}; };        ///< whoever was struck at a point -> injector
struct life_news { supervision_kind kind{}; std::string child; duration at{}; }; ///< observer -> injector: an end or a restart
struct fault_due { std::uint64_t rule = 0; };                     ///< injector to itself
struct fault_added { std::uint64_t rule = 0; };                   ///< control -> injector: a rule more
/// What a fault had for a consequence, told by whoever saw it -> injector.
struct fault_effect {
  enum class kind : std::uint8_t { detected, recovered, turn_redone, step_redone } what{};
  std::string who;
  duration at{};
};

// -- experiment ----------------------------------------------------------------------------------------------------------
struct begin {};                               ///< starts (or goes on with) the run
struct pause_run {};                           ///< -> done
struct resume_run {};                          ///< -> done
struct stop_run { std::string why; };          ///< -> done: ends after what is in progress is durable
struct experiment_status_request {};           ///< -> metric_record: state, progress, balance
struct tick {};                                ///< any actor to itself, periodically

// clang-format on

} // namespace troupe

TROUPE_LOCAL_TYPE(troupe::rollout_job)
TROUPE_LOCAL_TYPE(troupe::version_published)
TROUPE_LOCAL_TYPE(troupe::weights_went_back)
TROUPE_LOCAL_TYPE(troupe::admission_changed)
TROUPE_LOCAL_TYPE(troupe::group_retired)
TROUPE_LOCAL_TYPE(troupe::recover_rollouts)
TROUPE_LOCAL_TYPE(troupe::rollouts_lost)
TROUPE_LOCAL_TYPE(troupe::rollout_parked)
TROUPE_LOCAL_TYPE(troupe::rollout_ended)
TROUPE_LOCAL_TYPE(troupe::slot_yielded)
TROUPE_LOCAL_TYPE(troupe::slots_changed)
TROUPE_LOCAL_TYPE(troupe::retry_rollout)
TROUPE_LOCAL_TYPE(troupe::retry_wanted)
TROUPE_LOCAL_TYPE(troupe::retry_granted)
TROUPE_LOCAL_TYPE(troupe::yield_slot)
TROUPE_LOCAL_TYPE(troupe::park_rollout)
TROUPE_LOCAL_TYPE(troupe::unpark_rollout)
TROUPE_LOCAL_TYPE(troupe::group_readmitted)
TROUPE_LOCAL_TYPE(troupe::manager_status_request)
TROUPE_LOCAL_TYPE(troupe::manager_status)
TROUPE_LOCAL_TYPE(troupe::generate)
TROUPE_LOCAL_TYPE(troupe::generated)
TROUPE_LOCAL_TYPE(troupe::tokens_sampled)
TROUPE_LOCAL_TYPE(troupe::cancel_generation)
TROUPE_LOCAL_TYPE(troupe::cancel_listened)
TROUPE_LOCAL_TYPE(troupe::pause_engine)
TROUPE_LOCAL_TYPE(troupe::forget_sequence)
TROUPE_LOCAL_TYPE(troupe::new_weights)
TROUPE_LOCAL_TYPE(troupe::weights_damaged)
TROUPE_LOCAL_TYPE(troupe::engine_step)
TROUPE_LOCAL_TYPE(troupe::write_tokens)
TROUPE_LOCAL_TYPE(troupe::engine_status_request)
TROUPE_LOCAL_TYPE(troupe::engine_status)
TROUPE_LOCAL_TYPE(troupe::run_tool)
TROUPE_LOCAL_TYPE(troupe::tool_finished)
TROUPE_LOCAL_TYPE(troupe::tool_check)
TROUPE_LOCAL_TYPE(troupe::judge_request)
TROUPE_LOCAL_TYPE(troupe::verdict)
TROUPE_LOCAL_TYPE(troupe::rollout_finished)
TROUPE_LOCAL_TYPE(troupe::rollout_failed)
TROUPE_LOCAL_TYPE(troupe::group_admitted)
TROUPE_LOCAL_TYPE(troupe::next_batch)
TROUPE_LOCAL_TYPE(troupe::batch_consumed)
TROUPE_LOCAL_TYPE(troupe::batch_ptr)
TROUPE_LOCAL_TYPE(troupe::reread_books)
TROUPE_LOCAL_TYPE(troupe::balance_request)
TROUPE_LOCAL_TYPE(troupe::balance)
TROUPE_LOCAL_TYPE(troupe::warm_up)
TROUPE_LOCAL_TYPE(troupe::warm_up_step)
TROUPE_LOCAL_TYPE(troupe::train_step)
TROUPE_LOCAL_TYPE(troupe::step_report)
TROUPE_LOCAL_TYPE(troupe::evaluate)
TROUPE_LOCAL_TYPE(troupe::metric_record)
TROUPE_LOCAL_TYPE(troupe::fault_struck)
TROUPE_LOCAL_TYPE(troupe::life_news)
TROUPE_LOCAL_TYPE(troupe::fault_due)
TROUPE_LOCAL_TYPE(troupe::fault_added)
TROUPE_LOCAL_TYPE(troupe::fault_effect)
TROUPE_LOCAL_TYPE(troupe::begin)
TROUPE_LOCAL_TYPE(troupe::pause_run)
TROUPE_LOCAL_TYPE(troupe::resume_run)
TROUPE_LOCAL_TYPE(troupe::stop_run)
TROUPE_LOCAL_TYPE(troupe::experiment_status_request)
TROUPE_LOCAL_TYPE(troupe::tick)

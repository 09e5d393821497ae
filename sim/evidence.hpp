#pragma once

#include "actors/ledger.hpp"
#include "actors/trajectory.hpp"
#include "sim/fake_policy.hpp"
#include "sim/weather.hpp"
#include "sim/world.hpp"

namespace troupe::sim {

/// What one seed of one world leaves for the checks: what is durable, and what the fakes saw.
struct evidence {
  drawn_world drawn;
  context_ptr run; ///< configuration, rules and tasks; no actors

  // -- how it ended
  bool ended = false;
  std::optional<error> end_reason;
  std::string state; ///< who was where, of a run that did not end

  // -- durable
  std::vector<record> admissions, consumptions, retirements, rollbacks, metrics, failures, parks, journal,
      faults;
  std::map<std::string, std::vector<record>>
      rollouts; ///< turns, tool results, verdicts, failures by stream, in order
  std::vector<checkpoint> checkpoints;

  // -- what the fakes saw
  std::vector<optimizer_step> optimizer; ///< every optimizer step, in order, also those that a crash undid
  std::uint64_t sampled = 0;             ///< tokens, also those that no turn has
  std::vector<std::pair<std::uint64_t, float>> loaded; ///< (version, weights) that engines took in
  outside_world effects;                               ///< of tool calls, by idempotency key: how often
  std::vector<balance> sheets;                         ///< the balance, asked for once a virtual second
  struct restart {
    duration at{};
    supervision_kind kind{}; ///< ended, restarted, gave_up: of the run's own supervisor
    std::string child;
  };
  std::vector<restart> restarts;

  // -- of several nodes
  /// One membership of a node, as it became durable.
  struct epoch_life {
    std::string node; ///< empty: a life of the head
    duration from{};
    std::optional<duration> to;      ///< its fence
    std::optional<duration> sampled; ///< when its engine made its last token
  };
  std::map<std::uint64_t, epoch_life> epochs;
  std::vector<record> placements, fences;
  std::vector<weather::outage> outages; ///< node 2 is "w2"
  weather::counts weather_seen;
  std::uint64_t messages_lost = 0, messages_twice = 0, messages_overtaken = 0;

  std::map<std::string, std::uint64_t> reached; ///< rare points (runtime/base/buggify.hpp), how often

  // -- figures
  std::uint64_t trace = 0;
  std::size_t deliveries = 0, kills = 0, cuts = 0, stalls = 0, disk_full = 0, damaged = 0;
  duration virtual_time{};
};

} // namespace troupe::sim

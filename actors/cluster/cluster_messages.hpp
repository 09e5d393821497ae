#pragma once

#include "actors/messages.hpp"

/// What the head and its workers say to each other. Each is a request that is repeated until it is answered, or until the epoch that it
/// is about is over; each may come twice, late, or behind what was said after it.
namespace troupe {

// clang-format off

using head_names = std::map<std::string, actor_ref>; ///< who holds which name on the head now

// -- worker -> head --------------------------------------------------------------------------------------------------------------
/// -> joined. `attempt` counts one actor's joins: an older one that comes late is refused (in_use).
struct join_cluster { std::string node; actor_ref agent; std::uint64_t attempt = 0; };
struct joined { std::uint64_t epoch = 0; head_names names; };
/// -> head_names. Error: in_use, the epoch is over.
struct heartbeat { std::uint64_t epoch = 0; actor_ref agent; engine_status engine; };
struct rollouts_died { std::uint64_t epoch = 0; }; ///< with their supervisor. -> done: they are placed there again
/// The node's supervisor gave a rollout up. -> done
struct rollout_given_up { write_fence placed; rollout_key key; error why; };

// -- head -> worker, each for one epoch: another one answers in_use ---------------------------------------------------------------
struct place_rollout { rollout_job job; };                    ///< job.placed says where. -> done: it runs, or has run
struct stop_placed { write_fence placed; rollout_key key; };  ///< -> done: it does not run, nor will that placement ever
struct park_placed { write_fence placed; rollout_key key; bool soon = false, yield = false; }; ///< lost, the rollout goes on: no answer
/// -> done, when the next step of the node's engine will use them. Of two, the one with the greater number counts.
struct publish_weights { std::uint64_t epoch = 0, number = 0; weights_ptr weights; std::uint64_t version = 0, lineage = 0; std::string checksum; };

// -- on the head -----------------------------------------------------------------------------------------------------------------
struct run_rollout { rollout_job job; };                      ///< manager, evaluator -> cluster: on some node. -> done
struct park_remote { rollout_key key; bool soon = false, yield = false; };   ///< manager -> cluster
/// Manager, evaluator -> cluster: it needs no node any more; parked, it may still wait for its tools where it is.
struct rollout_over { rollout_key key; bool parked = false; };
struct cluster_status_request {};                             ///< -> cluster_status
struct cluster_status {
  std::vector<std::string> nodes; ///< that are members now
  std::uint64_t epochs = 0, lost = 0, placed = 0, moved = 0;
};

// clang-format on

} // namespace troupe

TROUPE_LOCAL_TYPE(troupe::head_names)
TROUPE_LOCAL_TYPE(troupe::join_cluster)
TROUPE_LOCAL_TYPE(troupe::joined)
TROUPE_LOCAL_TYPE(troupe::heartbeat)
TROUPE_LOCAL_TYPE(troupe::rollouts_died)
TROUPE_LOCAL_TYPE(troupe::rollout_given_up)
TROUPE_LOCAL_TYPE(troupe::place_rollout)
TROUPE_LOCAL_TYPE(troupe::stop_placed)
TROUPE_LOCAL_TYPE(troupe::park_placed)
TROUPE_LOCAL_TYPE(troupe::publish_weights)
TROUPE_LOCAL_TYPE(troupe::run_rollout)
TROUPE_LOCAL_TYPE(troupe::park_remote)
TROUPE_LOCAL_TYPE(troupe::rollout_over)
TROUPE_LOCAL_TYPE(troupe::cluster_status_request)
TROUPE_LOCAL_TYPE(troupe::cluster_status)

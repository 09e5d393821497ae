#pragma once

#include "runtime/message_types.hpp"
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace troupe {

struct node_options {
  std::size_t threads = 0; ///< of the scheduler; 0: one per core
  bool network = false;    ///< loads CAF's middleman: heartbeats of 1 s, a silent peer is gone after 10 s
  duration stop_deadline = std::chrono::seconds(30); ///< for the root to stop everything in order
  duration kill_deadline = std::chrono::seconds(5);  ///< for what was killed after that
  std::vector<wire_type_registration> wire_types;    ///< beside the runtime's own
};

/// One process's actor system with the settings that hold for Troupe: scheduler `sharing`, at most 100
/// messages a turn (CAF's default starves), and no silent reading of caf-application.ini.
///   NODE-1  A setting that CAF ignored is an error at the start, never a slow run.
///   NODE-2  stop() is bounded by stop_deadline + kill_deadline, whatever the actors do, and says what is
///   left. NODE-3  A node whose stop() failed is given up in memory: its destructor does not wait, the
///   process should end by _Exit.
/// Thread-safe, but for construction and destruction.
class node {
public:
  /// Errors: invalid.
  static expected<std::unique_ptr<node>> start(node_options options = {});
  ~node();
  node(const node&) = delete;

  caf::actor_system& system() { return *system_; }
  static thread_policy threads() { return {true}; }

  /// Starts the root of the tree; once. It lives until stop(), or until it gives up.
  actor_ref supervise(supervisor_options options, std::vector<child_spec> children);
  /// Waits until the root has ended, at most for `patience`; its reason ("normal" with code internal for a
  /// normal end).
  std::optional<error> root_ended(duration patience);

  /// A request from outside of any actor. Blocks the calling thread, never one of the scheduler's. Errors:
  /// those of the reply.
  template <class Reply, class Message>
  expected<Reply> ask(const actor_ref& whom, Message message, duration deadline) {
    if (!whom) return fail(errc::unavailable, "no such actor at the moment");
    caf::scoped_actor self{*system_};
    expected<Reply> out = fail(errc::internal, "no answer");
    self->request(whom, to_timeout(deadline), std::move(message))
        .receive([&](Reply& value) { out = std::move(value); },
                 [&](caf::error& why) { out = tl::unexpected<error>(from_caf(why)); });
    return out;
  }

  /// Stops the tree in order, then kills it, then waits for every actor. Error: timeout, naming what still
  /// runs.
  expected<void> stop();

private:
  struct config;
  struct root_state;
  explicit node(node_options options);
  bool idle_within(duration patience);
  node_options options_;
  std::unique_ptr<config> config_;
  std::unique_ptr<caf::actor_system> system_;
  std::shared_ptr<root_state> root_;
  bool stopped_ = false;
};

} // namespace troupe

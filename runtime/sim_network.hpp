#pragma once

#include "caf/all.hpp"
#include "caf/io/all.hpp"
#include "caf/io/network/test_multiplexer.hpp"
#include "caf/scheduler/test_coordinator.hpp"
#include "runtime/base/random.hpp"
#include "runtime/message_types.hpp"
#include <string>
#include <vector>

namespace troupe {

/// One of several simulated nodes in this process: CAF's real network protocol over an in-memory network, no
/// sockets.
class sim_node {
public:
  explicit sim_node(std::vector<wire_type_registration> wire_types = {});
  ~sim_node(); ///< kill the node's actors before
  sim_node(const sim_node&) = delete;

  caf::actor_system& system() { return system_; }
  /// A cut node's bytes stay in their buffers, in both directions, until it is mended.
  bool cut = false;

private:
  friend class sim_network;
  struct config : caf::actor_system_config {
    explicit config(const std::vector<wire_type_registration>& wire_types);
  };
  bool step(random_stream& random);
  config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::io::network::test_multiplexer& network_;
};

/// Drives several nodes in one thread.
///   SIMNET-1  The same seed gives the same order of messages on every node.
///   SIMNET-2  What crosses a node is really serialized: a type that is not registered arrives as an empty
///   message.
class sim_network {
public:
  using line = caf::io::connection_handle; ///< the client's end of a connection
  sim_network(std::uint64_t seed, std::vector<sim_node*> nodes);

  /// Runs until nothing moves on any node; timers do not fire.
  void run();
  /// Advances every node's clock by `time` in one jump, then runs.
  void run_for(duration time);
  line new_line() { return line::from_int(next_++); }
  /// Publishes `what` on `server` and connects `client` to it by `by`. Errors: unavailable.
  expected<actor_ref> connect(sim_node& client, sim_node& server, const std::string& host, std::uint16_t port,
                              const actor_ref& what, line by);
  /// Ends the client's connection as if the peer had crashed.
  void lose(sim_node& client, line which);

private:
  random_stream random_;
  std::vector<sim_node*> nodes_;
  std::int64_t next_ = 1;
};

} // namespace troupe

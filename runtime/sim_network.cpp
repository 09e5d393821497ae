#include "runtime/sim_network.hpp"

#include <algorithm>

namespace troupe {

sim_node::config::config(const std::vector<wire_type_registration>& wire_types) {
  load<caf::io::middleman>();
  set("scheduler.policy", caf::atom("testing"));
  set("logger.inline-output", true);
  set("middleman.network-backend", caf::atom("testing"));
  set("middleman.manual-multiplexing", true);
  set("middleman.attach-utility-actors", true);
  set("middleman.workers", std::size_t{0});
  wire_types_of<caf::id_block::troupe_runtime>()(*this);
  for (auto add : wire_types) add(*this);
}

sim_node::sim_node(std::vector<wire_type_registration> wire_types)
    : config_(wire_types),
      system_(config_),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())),
      network_(dynamic_cast<caf::io::network::test_multiplexer&>(system_.middleman().backend())) {
  scheduler_.clock().current_time += std::chrono::hours(1); // 0 is special to CAF
}

sim_node::~sim_node() {
  scheduler_.run();
  scheduler_.clock()
      .cancel_all(); // a periodic timer would keep the coordinator's destructor running for ever
}

bool sim_node::step(random_stream& random) {
  auto& jobs = scheduler_.jobs;
  if (jobs.size() > 1) {
    const auto i = static_cast<std::ptrdiff_t>(random.below(jobs.size()));
    std::rotate(jobs.begin(), jobs.begin() + i, jobs.begin() + i + 1);
  }
  return scheduler_.try_run_once() || (!cut && network_.read_data()) || network_.try_exec_runnable() ||
         (!cut && network_.try_accept_connection());
}

sim_network::sim_network(std::uint64_t seed, std::vector<sim_node*> nodes)
    : random_(derive_seed(seed, "network")), nodes_(std::move(nodes)) {
  run();
}

void sim_network::run() {
  for (int quiet = 0; quiet < 2;) { // reading may run jobs and still say no: one quiet pass proves nothing
    shuffle(nodes_, random_);
    const bool moved =
        std::any_of(nodes_.begin(), nodes_.end(), [this](sim_node* n) { return n->step(random_); });
    quiet = moved ? 0 : quiet + 1;
  }
}

void sim_network::run_for(duration time) {
  run();
  for (auto* n : nodes_) n->scheduler_.clock().advance_time(std::chrono::duration_cast<caf::timespan>(time));
  run();
}

expected<actor_ref> sim_network::connect(sim_node& client, sim_node& server, const std::string& host,
                                         std::uint16_t port, const actor_ref& what, line by) {
  const auto accept = caf::io::accept_handle::from_int(next_++);
  server.network_.prepare_connection(accept, new_line(), client.network_, host, port, by);
  server.scheduler_.inline_next_enqueue();
  if (auto published = server.system_.middleman().publish(what, port); !published)
    return fail(errc::unavailable, "publish failed: " + to_string(published.error()));
  client.scheduler_.inline_next_enqueue();
  client.scheduler_.after_next_enqueue([this] { run(); });
  auto remote = client.system_.middleman().remote_actor(host, port);
  if (!remote) return fail(errc::unavailable, "connect failed: " + to_string(remote.error()));
  return *remote;
}

void sim_network::lose(sim_node& client, line which) {
  client.network_.impl_ptr(which)->io_failure(&client.network_, caf::io::network::operation::read);
  run();
}

} // namespace troupe

#include "sim/fleet.hpp"

#include "actors/tree.hpp"

namespace troupe::sim {

fleet::fleet(simulation& sim, machine& disk, const drawn_world& drawn, parts what)
    : sim_(sim), machine_(disk), parts_(std::move(what)) {
  const auto last = static_cast<sim_nodes::node_id>(drawn.workers) + 1;
  for (sim_nodes::node_id node = 1; node <= last; ++node)
    clocks_.emplace(std::piecewise_construct, std::forward_as_tuple(node),
                    std::forward_as_tuple(sim.time(), std::chrono::hours(node - 1)));
}

void fleet::start() {
  for (const auto& [node, time] : clocks_) boot(node);
}

void fleet::let_go() {
  head_->reset();
  workers_.clear();
}

void fleet::boot(sim_nodes::node_id node) {
  const auto& time = clocks_.at(node);
  auto part = std::make_shared<cluster_part>();
  std::vector<child_spec> children;
  context_ptr ctx;
  if (node == weather::head) {
    machine_.power_on(time);
    auto made = parts_.head_context(time);
    made->cluster = part;
    *head_ = ctx = made;
    children = head_children(ctx);
  } else {
    part->node = "w" + std::to_string(node);
    part->find_head = [head = head_] { return *head ? (*head)->names->find(names::cluster) : actor_ref{}; };
    auto made = parts_.worker_context(time, part->node, part);
    made->cluster = part;
    workers_[node] = ctx = made;
    children = worker_children(ctx);
  }
  sim_.nodes().boot(node, [&] {
    return sim_.own(spawn_supervisor(sim_.system(), parts_.tree(ctx, time), std::move(children)));
  });
  if (changed_) changed_();
}

void fleet::crash(sim_nodes::node_id node) {
  sim_.nodes().crash(node);
  if (node == weather::head) {
    machine_.lose_power();
    head_->reset();
  } else {
    workers_.erase(node);
  }
}

void fleet::jump_clock(sim_nodes::node_id node, duration by) { clocks_.at(node).jumped += by; }

std::vector<directory_ptr> fleet::worker_names() const {
  std::vector<directory_ptr> out;
  for (const auto& [node, ctx] : workers_) out.push_back(ctx->names);
  return out;
}

} // namespace troupe::sim

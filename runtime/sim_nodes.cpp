#include "runtime/sim_nodes.hpp"

namespace troupe {

sim_nodes::sim_nodes(std::uint64_t seed) : links_(seed) { carrier_of_thread = this; }

sim_nodes::~sim_nodes() {
  if (carrier_of_thread == this) carrier_of_thread = nullptr;
}

std::uint32_t sim_nodes::place_of(node_id node) const {
  const auto found = now_at_.find(node);
  return found == now_at_.end() ? 0 : found->second;
}

bool sim_nodes::up(node_id node) const { return place_of(node) != 0; }

bool sim_nodes::paused(node_id node) const { return places_[place_of(node)].paused; }

void sim_nodes::boot(node_id node, const std::function<actor_ref()>& start) {
  crash(node);
  const auto at = static_cast<std::uint32_t>(places_.size());
  places_.push_back({node, false, false, {}, {}});
  now_at_[node] = at;
  const auto before = std::exchange(here_, at);
  auto root = start();
  here_ = before;
  places_[at].root = std::move(root);
}

void sim_nodes::crash(node_id node) {
  const auto at = place_of(node);
  if (at == 0) return;
  resume(node);
  places_[at].dead = true;
  now_at_.erase(node);
  const auto before = std::exchange(here_, 0);
  kill(std::exchange(places_[at].root, {})); // and with it all that it supervises
  here_ = before;
}

void sim_nodes::pause(node_id node) {
  if (const auto at = place_of(node)) places_[at].paused = true;
}

void sim_nodes::resume(node_id node) {
  auto& it = places_[place_of(node)];
  it.paused = false;
  released_.insert(released_.end(), it.held.begin(), it.held.end());
  it.held.clear();
}

void sim_nodes::hold(const base_actor& who, caf::resumable* job) { places_[who.place()].held.push_back(job); }

std::vector<caf::resumable*> sim_nodes::all_held() {
  auto out = released();
  for (auto& it : places_) {
    out.insert(out.end(), it.held.begin(), it.held.end());
    it.held.clear();
  }
  return out;
}

bool sim_nodes::takes(base_actor& to, caf::mailbox_element_ptr& what) {
  if (std::exchange(delivering_, false)) return false;
  const auto from = here_, there = to.place();
  if (from == 0 || there == 0) return false;
  const bool an_end = what->content().match_elements<caf::exit_msg>();
  if (from == there && (an_end || !places_[from].dead)) return false;
  if (places_[from].dead || places_[there].dead) { // NODES-2
    what.reset();
    return true;
  }
  links_.send(now_(), {places_[from].node, from}, {places_[there].node, there},
              caf::actor_cast<caf::strong_actor_ptr>(&to), std::move(what));
  return true;
}

void sim_nodes::deliver(duration now) {
  while (auto parcel = links_.take_due(now)) {
    auto& there = places_[parcel->to.place];
    if (there.dead || places_[parcel->from.place].dead) continue;
    here_ = parcel->to.place; // a bounce comes from there
    delivering_ = true;
    parcel->whom->enqueue(std::move(parcel->what), nullptr);
    delivering_ = false;
  }
  here_ = 0;
}

} // namespace troupe

#include "runtime/message_faults.hpp"

#include <map>
#include <mutex>
#include <shared_mutex>

namespace troupe {

namespace {

using release_atom = caf::atom_constant<caf::atom("release")>;

/// Messages of one actor that are on their way.
struct held_back {
  struct one {
    duration due;
    bool overtaken; ///< by the next message: it follows then
    caf::mailbox_element_ptr what;
  };
  std::vector<one> list;
};

struct lossy_system {
  std::shared_ptr<message_faults> how;
  std::mutex mutex;
  std::map<caf::actor_id, held_back> held;
};

std::atomic<int> lossy_systems{0};
std::shared_mutex guard;
std::map<const caf::actor_system*, std::shared_ptr<lossy_system>>& systems() {
  static std::map<const caf::actor_system*, std::shared_ptr<lossy_system>> it;
  return it;
}

std::shared_ptr<lossy_system> lossy(const caf::actor_system& system) {
  if (lossy_systems.load(std::memory_order_relaxed) == 0) return {};
  std::shared_lock lock(guard);
  auto found = systems().find(&system);
  return found == systems().end() ? nullptr : found->second;
}

/// Between two actors, and not about a life or death.
const base_actor* sender_of(const caf::mailbox_element& what, const base_actor& receiver) {
  if (!what.sender) return nullptr;
  const auto* sender = dynamic_cast<const base_actor*>(what.sender->get());
  if (!sender || sender == &receiver) return nullptr;
  const auto& content = what.content();
  if (content.match_elements<caf::exit_msg>() || content.match_elements<caf::down_msg>()) return nullptr;
  return sender;
}

caf::mailbox_element_ptr copy_of(const caf::mailbox_element& what) {
  auto stages = what.stages;
  return caf::make_mailbox_element(what.sender, what.mid, std::move(stages), what.copy_content_to_message());
}

} // namespace

void set_message_faults(caf::actor_system& system, std::shared_ptr<message_faults> how) {
  std::shared_ptr<lossy_system> gone; // what it held is released outside the lock
  std::unique_lock lock(guard);
  if (auto found = systems().find(&system); found != systems().end()) {
    gone = std::move(found->second);
    systems().erase(found);
    --lossy_systems;
  }
  if (how) {
    auto it = std::make_shared<lossy_system>();
    it->how = std::move(how);
    systems().emplace(&system, std::move(it));
    ++lossy_systems;
  }
  lock.unlock();
}

void base_actor::enqueue(caf::mailbox_element_ptr what, caf::execution_unit* host) {
  if (carrier_of_thread && carrier_of_thread->takes(*this, what)) return;
  const auto way = lossy(home_system());
  const auto* sender = way && !getf(is_terminated_flag) ? sender_of(*what, *this) : nullptr;
  if (!sender) return event_based_actor::enqueue(std::move(what), host);
  const auto fate = way->how->fate(sender->name(), name());
  using kind = message_fate::what;
  switch (fate.kind) {
  case kind::drop: return;
  case kind::delay:
  case kind::reorder: {
    const auto due = duration(home_system().clock().now().time_since_epoch()) + fate.by;
    {
      std::scoped_lock lock(way->mutex);
      way->held[id()].list.push_back({due, fate.kind == kind::reorder, std::move(what)});
    }
    home_system().clock().schedule_message(
        caf::actor_clock::time_point(std::chrono::ceil<std::chrono::milliseconds>(due)),
        caf::strong_actor_ptr(ctrl()),
        caf::make_mailbox_element(caf::strong_actor_ptr(ctrl()), caf::make_message_id(), {},
                                  release_atom::value));
    return;
  }
  case kind::duplicate: event_based_actor::enqueue(copy_of(*what), host); break;
  case kind::deliver: break;
  }
  event_based_actor::enqueue(std::move(what), host);
  release_held(duration(0), host);
}

void base_actor::release_held(duration now, caf::execution_unit* host) {
  const auto way = lossy(home_system());
  if (!way) return;
  std::vector<caf::mailbox_element_ptr> arrive;
  {
    std::scoped_lock lock(way->mutex);
    auto found = way->held.find(id());
    if (found == way->held.end()) return;
    std::erase_if(found->second.list, [&](held_back::one& it) {
      if (now == duration(0) ? !it.overtaken : it.due > now) return false;
      arrive.push_back(std::move(it.what));
      return true;
    });
    if (found->second.list.empty()) way->held.erase(found);
  }
  for (auto& what : arrive) event_based_actor::enqueue(std::move(what), host);
}

bool base_actor::releases(const caf::type_erased_tuple& content) {
  if (!content.match_elements<release_atom>()) return false;
  release_held(duration(home_system().clock().now().time_since_epoch()), context());
  return true;
}

} // namespace troupe

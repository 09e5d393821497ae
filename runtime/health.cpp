#include "runtime/health.hpp"

#include "runtime/message_types.hpp"

namespace troupe {

namespace {
using look_atom = caf::atom_constant<caf::atom("look")>;
}

behavior health_actor::make_behavior() {
  due_ = options_.time->now() + options_.period;
  send_later(self_, options_.period, look_atom::value);
  return {[this](look_atom) { look(); }};
}

void health_actor::look() {
  const auto now = options_.time->now();
  if (now > due_ + options_.period) ++sleeps_; // HEALTH-2
  due_ = now + options_.period;
  send_later(self_, options_.period, look_atom::value);
  for (const auto& name : options_.names->names())
    if (const auto patience = options_.patience(name); patience > duration(0)) ask_for_life(name, patience);
}

void health_actor::ask_for_life(const std::string& name, duration patience) {
  const auto who = options_.names->find(name);
  if (!who || who == actor_ref(self_)) return;
  const auto id = who->id();
  if (auto [at, fresh] = asked_.try_emplace(name, id); !fresh) {
    if (at->second == id) return; // its answer is still out
    at->second = id;
  }
  auto forget = [this, name, id] {
    if (auto found = asked_.find(name); found != asked_.end() && found->second == id) asked_.erase(found);
  };
  ask(
      self_, who, patience, sign_of_life{}, [forget](const done&) { forget(); },
      [this, forget, name, patience, who, sleeps = sleeps_](const error& why) {
        forget();
        if (why.code != errc::timeout || sleeps != sleeps_) return;
        // The clock may have run while nobody did: a sleep shows at the next round only.
        if (options_.time->now() > due_ + options_.period) return;
        if (options_.on_silent) options_.on_silent(name, patience);
        kill(who);
      });
}

} // namespace troupe

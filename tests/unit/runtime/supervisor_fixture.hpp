#pragma once

#include "runtime/simulation.hpp"
#include <gtest/gtest.h>
#include <map>

/// A small world for supervisors: probes that note their lives, and a simulation that drives them.
namespace troupe::probe_world {

using namespace std::chrono_literals;

struct crash {
  std::string text;
};
struct leave {}; // ends normally
struct hello {}; // -> done
TROUPE_INSPECT(crash, x.text)
TROUPE_INSPECT(leave)
TROUPE_INSPECT(hello)

/// What the probes did. `lives` of an id is never above one at a time.
struct life_log {
  std::vector<std::string> lines;
  std::map<std::string, int> starts, lives;
  bool doubled = false;
};

class probe {
public:
  static constexpr const char* name = "probe";
  probe(self_ptr self, std::string id, life_log* out, bool ignores_stop)
      : self_(self), id_(std::move(id)), out_(out) {
    if (++out_->lives[id_] > 1) out_->doubled = true;
    if (ignores_stop) self_->set_exit_handler([](caf::exit_msg&) {});
  }
  ~probe() {
    out_->lines.push_back("-" + id_);
    --out_->lives[id_];
  }
  behavior make_behavior() {
    return {
        [](const crash& m) -> done { throw std::runtime_error(m.text); },
        [this](leave) { self_->quit(); },
        [](hello) { return done{}; },
    };
  }

private:
  self_ptr self_;
  std::string id_;
  life_log* out_;
};

struct world {
  explicit world(std::uint64_t seed) : sim(seed) {
    options.names = names;
    options.seed = seed;
    options.time = &sim.time();
    options.observer = [this](const supervision_event& e) { events.push_back(e); };
  }
  life_log probes; // outlives the simulation
  std::vector<supervision_event> events;
  simulation sim;
  directory_ptr names = std::make_shared<directory>();
  supervisor_options options;
  actor_ref supervisor;

  child_spec child(const std::string& id, bool ignores_stop = false) {
    child_spec spec;
    spec.id = id;
    spec.start = [this, id, ignores_stop](self_ptr parent) {
      probes.lines.push_back("+" + id);
      ++probes.starts[id];
      return spawn_state<probe>(parent, id, &probes, ignores_stop);
    };
    return spec;
  }
  void start(std::vector<child_spec> children) {
    supervisor = sim.own(spawn_supervisor(sim.system(), options, std::move(children)));
    sim.run();
  }
  void start(std::initializer_list<const char*> ids) {
    std::vector<child_spec> children;
    for (auto id : ids) children.push_back(child(id));
    start(std::move(children));
  }
  void kill_child(const std::string& id) { kill(names->find(id)); }
  bool answers(const std::string& id) { return sim.ask<done>(names->find(id), hello{}).has_value(); }
  int count(supervision_kind kind, const std::string& id = "") const {
    int n = 0;
    for (auto& e : events) n += e.kind == kind && (id.empty() || e.child == id);
    return n;
  }
  std::string state_of(const std::string& id) {
    auto list = sim.ask<std::vector<child_status>>(supervisor, list_children{});
    if (!list) return "no supervisor";
    for (auto& c : *list)
      if (c.id == id) return c.state;
    return "absent";
  }
  std::string lines() {
    std::string out;
    for (auto& line : std::exchange(probes.lines, {})) out += (out.empty() ? "" : " ") + line;
    return out;
  }
};

/// Ends as soon as `whom` has ended, and keeps the reason.
struct mourner {
  static constexpr const char* name = "mourner";
  mourner(self_ptr self, actor_ref whom, std::optional<error>* out)
      : self_(self), whom_(std::move(whom)), out_(out) {}
  behavior make_behavior() {
    self_->monitor(whom_);
    self_->set_down_handler([this](caf::down_msg& d) {
      *out_ = d.reason == caf::exit_reason::normal || !d.reason ? error{errc::internal, "normal"}
                                                                : from_caf(d.reason);
    });
    return {[](leave) {}};
  }
  self_ptr self_;
  actor_ref whom_;
  std::optional<error>* out_;
};

} // namespace troupe::probe_world

TROUPE_BEGIN_WIRE_TYPES(probe_world, troupe::first_test_type + 100)
TROUPE_WIRE_TYPE(probe_world, troupe::probe_world::crash)
TROUPE_WIRE_TYPE(probe_world, troupe::probe_world::leave)
TROUPE_WIRE_TYPE(probe_world, troupe::probe_world::hello)
TROUPE_END_WIRE_TYPES(probe_world)

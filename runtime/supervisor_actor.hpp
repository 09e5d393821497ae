#pragma once

#include "runtime/message_types.hpp"
#include "runtime/restart_policy.hpp"
#include <map>
#include <set>
#include <vector>

namespace troupe {

/// A timer of a supervisor. `life` makes the timers of earlier lives and earlier restarts void.
struct supervisor_tick {
  enum class what : std::uint8_t { restart, deadline, abandon } kind = what::restart;
  std::uint64_t subject = 0; ///< a restart's ticket, or a child's serial number
  std::uint64_t life = 0;
};

/// The actor behind spawn_supervisor (runtime/supervisor.hpp has the promises).
///
/// Children are kept in start order under a serial number. A child that must be restarted belongs to a
/// `restart`: the set of children that go down and come up together. The living members are stopped one at a
/// time, the last one first; when all are down the back-off runs; then they start in order. Under one_for_one
/// there may be many restarts at once, each of one child; under the other strategies a new failure joins the
/// restart in progress.
class supervisor_actor {
public:
  static constexpr const char* name = "supervisor";
  supervisor_actor(self_ptr self, supervisor_options options, std::vector<child_spec> children);
  ~supervisor_actor(); ///< kills what is left: SUP-2 holds for a killed supervisor too
  behavior make_behavior();

private:
  enum class child_state : std::uint8_t { running, stopping, down, quarantined };
  struct child {
    child_spec spec;
    std::uint64_t serial = 0;
    child_state state = child_state::down;
    actor_ref who;
    std::uint64_t restart = 0; ///< the ticket of the restart it belongs to; 0 = none
    bool forget = false;       ///< leaves the list when it is down
    int restarts = 0, failures = 0;
    /// What only those have that ended or are to stop: most of 100,000 never do.
    struct past_lives {
      std::uint64_t life = 0;       ///< counts stops, for their timers
      std::vector<duration> recent; ///< its restarts within the period, for the back-off
      error last_reason;
      std::vector<reply<done>> stop_replies;
    };
    std::unique_ptr<past_lives> known;
    past_lives& past() {
      if (!known) known = std::make_unique<past_lives>();
      return *known;
    }
    const error& last_reason() const {
      static const error none;
      return known ? known->last_reason : none;
    }
  };
  struct restart {
    std::set<std::uint64_t> members;
    duration delay{0};
    bool waiting = false;    ///< all are down, the back-off runs
    bool by_message = false; ///< a failed start must not recurse
  };
  struct waiting_start {
    child_spec spec;
    reply<actor_ref> answer;
  };

  // -- the life of a child
  child& add(child_spec spec);
  bool start(child& it, supervision_kind kind);
  void begin_stop(child& it);
  void forget(child& it);
  void ended(caf::down_msg& down);
  void act_on_end(child& it, bool normal, bool by_message);
  // -- restarts of one or several
  void begin_restart(child& cause, bool by_message);
  bool crash_loops(const child& it);
  std::optional<std::uint64_t> work_of(const child& it) const;
  void give_up(const child& it, const std::string& why);
  void advance(std::uint64_t ticket);
  void start_members(std::uint64_t ticket);
  // -- messages
  void start_dynamic(child_spec spec, reply<actor_ref> answer);
  void start_waiting();
  void stop_dynamic(const std::string& id, reply<done> answer);
  void tick(const supervisor_tick& what);
  // -- the end
  void stop_everything(error reason);
  void stop_next();

  duration now() const;
  child* find(const std::string& id);
  child* find(std::uint64_t serial);
  void unname(child& it);
  void observe(supervision_kind kind, const child* it, const error& reason);

  self_ptr self_;
  supervisor_options options_;
  std::vector<child_spec> first_;
  restart_window window_;
  random_stream random_;
  std::map<std::uint64_t, child> children_;  ///< by serial: in start order
  std::map<std::string_view, child*> by_id_; ///< views of their ids
  std::map<caf::actor_addr, std::uint64_t> by_address_;
  std::map<std::uint64_t, restart> restarts_;
  std::map<std::uint64_t, futile_lives> futile_; ///< by serial, of those that are not quarantined
  std::vector<waiting_start> waiting_starts_;
  std::vector<reply<done>> stop_replies_;
  std::uint64_t next_ = 1;
  bool stopping_ = false;
  std::optional<error> end_reason_; ///< empty: a normal end
};

} // namespace troupe

TROUPE_LOCAL_TYPE(troupe::supervisor_tick)

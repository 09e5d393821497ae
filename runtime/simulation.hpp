#pragma once

#include "caf/scheduler/test_coordinator.hpp"
#include "runtime/base/random.hpp"
#include "runtime/directory.hpp"
#include "runtime/message_types.hpp"
#include "runtime/sim_nodes.hpp"
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

/// What the simulator may do to a run besides choosing the order of messages. All of it comes from the seed.
struct simulation_faults {
  double kill_chance = 0;           ///< per step: one of the actors named in `victims` is killed
  std::vector<std::string> victims; ///< names in `names`; a name that nobody holds at the moment is left out
  directory_ptr names;
  std::vector<directory_ptr> other_nodes; ///< their holders of a victim's name may be hit as well
  double late_timer_chance = 0;           ///< per timer: it fires late ...
  duration late_by{0};                    ///< ... by up to this much
  double stall_chance = 0;                ///< per step: the actor whose turn it is takes no message ...
  duration stall_by{0};                   ///< ... for up to this much; what is sent to it waits, in order
  double cut_chance = 0;                  ///< per step: the power goes, between two messages
  std::size_t strike_at = static_cast<std::size_t>(-1); ///< before this step, besides all else ...
  std::string
      strike_whom; ///< ... the first named so, or with this beginning, is killed; empty: the power goes
  std::size_t quiet_after = static_cast<std::size_t>(-1); ///< steps; then there are no more faults
};

/// One message as an actor takes it: for traces.
struct delivery {
  duration at{}; ///< virtual time
  std::uint64_t actor = 0;
  const char* name = ""; ///< the actor's State::name
  std::string message;   ///< its types, or its content where it has a text
};

/// One simulated node: every actor in the calling thread, a virtual clock, and an order of messages that the
/// seed decides.
///   SIM-1  The same seed gives the same trace: the same actors take the same messages in the same order.
///   SIM-2  Time passes only in run_for: a run without timers takes no virtual time.
///   SIM-3  Messages between two actors keep their order; all other orders are possible.
///   SIM-4  After a power cut no actor takes another message.
/// Rules for what runs in it: time only from `time()` or self->clock(), no threads (thread_policy{false}), no
/// blocking waits, no iteration over pointer-keyed containers. Several machines in it: nodes(). CAF's own wire protocol between
/// nodes: runtime/sim_network.hpp.
class simulation {
public:
  /// `start`: the virtual time at which it begins; more than 0.
  explicit simulation(std::uint64_t seed, std::vector<wire_type_registration> wire_types = {},
                      duration start = std::chrono::hours(1));
  ~simulation();
  simulation(const simulation&) = delete;

  // -- building the world
  caf::actor_system& system() { return system_; }
  thread_policy threads() const { return {false}; }
  const clock& time() const { return time_; }
  std::uint64_t seed() const { return seed_; }
  /// Ends with the simulation, like everything it supervises.
  actor_ref own(actor_ref who);
  template <class State, class... Args>
  actor_ref spawn(Args&&... args) {
    return own(spawn_state<State>(system_, std::forward<Args>(args)...));
  }
  /// From the first call on, there are several machines.
  sim_nodes& nodes();
  void inject(simulation_faults faults) { faults_ = std::move(faults); }
  /// Hears every message before its actor takes it.
  void observe(std::function<void(const delivery&)> observer) { observer_ = std::move(observer); }
  void cut_power() { powered_ = false; }
  /// Actors that take more messages than this at one moment of virtual time never end: the power is cut, and endless() is true.
  void limit_instant(std::size_t messages) { most_per_instant_ = messages; }

  // -- running
  /// Runs one message of one actor chosen by the seed; false if there is none.
  bool step();
  /// Runs until no actor has a message; timers do not fire.
  void run();
  /// Runs for `time` of virtual time, timers included. Returns the number of steps taken.
  std::size_t run_for(duration time);
  /// Sends a request from outside and runs until the answer is there, at most for `deadline` of virtual time.
  template <class Reply, class Message>
  expected<Reply> ask(const actor_ref& whom, Message message, duration deadline = std::chrono::seconds(60));

  // -- what happened
  std::uint64_t trace() const { return trace_; } ///< hash of (actor, message) in the order they ran
  std::size_t steps() const { return steps_; }
  std::size_t kills() const { return kills_; }
  std::size_t stalls() const { return stalls_; }
  bool powered() const { return powered_; }
  bool endless() const { return endless_; }

private:
  class virtual_clock final : public clock {
  public:
    explicit virtual_clock(caf::scheduler::test_coordinator& of) : of_(&of) {}
    duration now() const override { return of_->clock().now().time_since_epoch(); }
    duration wall() const override { return std::chrono::hours(24 * 365 * 50) + now(); }

  private:
    caf::scheduler::test_coordinator* of_;
  };
  /// What actors run on. CAF's own lives for one message only, and an actor remembers it: a dead one whose last timer goes
  /// would use it again.
  class unit final : public caf::execution_unit {
  public:
    explicit unit(caf::actor_system& system, caf::scheduler::test_coordinator& of)
        : execution_unit(&system), of_(&of) {}
    void exec_later(caf::resumable* job) override { of_->jobs.push_back(job); }

  private:
    caf::scheduler::test_coordinator* of_;
  };
  bool run_front();
  static caf::actor_system_config& configure(caf::actor_system_config& config,
                                             const std::vector<wire_type_registration>& types);
  void mix(std::uint64_t x) { trace_ = (trace_ ^ x) * 1099511628211ull; }
  void mix(const caf::type_erased_tuple& message);
  void maybe_kill();
  void strike();
  bool maybe_stall();
  void release(caf::actor_clock::time_point until);
  void take_released();
  void tell_observer();
  bool fire_next_timer(caf::actor_clock::time_point end);
  bool runnable(caf::resumable* job, base_actor* actor);

  std::uint64_t seed_;
  random_stream order_, fault_;
  caf::actor_system_config config_;
  std::unique_ptr<unit> unit_; ///< outlives the actors
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  virtual_clock time_;
  simulation_faults faults_;
  std::unique_ptr<sim_nodes> nodes_;
  std::vector<actor_ref> owned_;
  std::function<void(const delivery&)> observer_;
  std::multimap<caf::actor_clock::time_point, caf::resumable*> stalled_;
  std::uint64_t trace_ = 1469598103934665603ull;
  std::size_t steps_ = 0, kills_ = 0, stalls_ = 0;
  std::size_t most_per_instant_ = static_cast<std::size_t>(-1), in_instant_ = 0;
  duration instant_{}; ///< the moment that `in_instant_` counts
  bool powered_ = true, endless_ = false;
};

/// The actor behind simulation::ask.
template <class Reply, class Message>
struct simulated_caller {
  static constexpr const char* name = "caller";
  simulated_caller(self_ptr self, actor_ref whom, Message message, duration deadline,
                   std::shared_ptr<std::optional<expected<Reply>>> out)
      : self_(self),
        whom_(std::move(whom)),
        message_(std::move(message)),
        deadline_(deadline),
        out_(std::move(out)) {}
  behavior make_behavior() {
    troupe::ask(
        self_, whom_, deadline_, std::move(message_),
        [self = self_, out = out_](Reply& value) {
          out->emplace(std::move(value));
          self->quit();
        },
        [self = self_, out = out_](error why) {
          out->emplace(tl::unexpected<error>(std::move(why)));
          self->quit();
        });
    return {[](done) {}}; // an actor without a behavior would end before its answer comes
  }
  self_ptr self_;
  actor_ref whom_;
  Message message_;
  duration deadline_;
  std::shared_ptr<std::optional<expected<Reply>>> out_;
};

template <class Reply, class Message>
expected<Reply> simulation::ask(const actor_ref& whom, Message message, duration deadline) {
  auto out = std::make_shared<std::optional<expected<Reply>>>();
  auto caller =
      spawn_state<simulated_caller<Reply, Message>>(system_, whom, std::move(message), deadline, out);
  run();
  for (const auto end = scheduler_.clock().now() + deadline + std::chrono::seconds(1);
       !*out && fire_next_timer(end); run()) {
  }
  if (*out) return std::move(**out);
  kill(caller);
  run();
  return fail(errc::timeout, "nothing in the simulation is left to answer");
}

} // namespace troupe

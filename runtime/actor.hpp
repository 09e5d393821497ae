#pragma once

#include "caf/all.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

/// The one door to CAF: an actor is a plain State class with a `self` pointer and `make_behavior()`;
/// everything it needs of the actor system has a name here. Nothing outside runtime/ includes CAF's headers
/// (docs/decisions/0001).
namespace troupe {

class base_actor;
using actor_ref = caf::actor;
using self_ptr = base_actor*;
using behavior = caf::behavior;
template <class T>
using result = caf::result<T>;

// -- errors across the actor boundary
// ----------------------------------------------------------------------------------

/// A troupe::error as CAF carries it, and back. CAF's own errors become timeout, unavailable, cancelled or
/// internal.
caf::error to_caf(const error& what);
error from_caf(const caf::error& what);

/// The reply of a handler that has nothing to say but that it is done.
struct done {
  bool operator==(const done&) const = default;
};

/// What a handler returns for an `expected`: `return answer(store.read(...));`
template <class T>
result<T> answer(expected<T> what) {
  if (what) return result<T>(std::move(*what));
  return result<T>(to_caf(what.error()));
}

// -- the hardened base
// -------------------------------------------------------------------------------------------------

/// Counters every node exports: nothing is dropped silently.
struct actor_stats {
  std::atomic<std::uint64_t> unexpected{0}, errors{0}, exceptions{0}, downs{0};
};
actor_stats& stats();

/// How many actors of one State live in this process, in all its actor systems.
class live_count {
public:
  explicit live_count(const char* name);
  std::atomic<std::int64_t> now{0};
};
template <class State>
live_count& living() {
  static live_count it(State::name);
  return it;
}
/// Those that are not zero, by name: for metrics, and for the message of a shutdown that does not end.
std::vector<std::pair<std::string, std::int64_t>> living_actors();

/// Hears of every actor that takes its end, in that actor's thread and before its State goes: by its id. For measurements; null: nobody.
using end_watch = void (*)(std::uint64_t actor);
inline constinit std::atomic<end_watch> watch_of_ends{nullptr};

/// Carries messages between actors of one thread that stand for several machines. Only the simulator is one (runtime/sim_nodes.hpp);
/// elsewhere it costs a test of a null pointer per message.
class message_carrier {
public:
  virtual ~message_carrier() = default;
  /// Where whoever runs now is: what it spawns is there too.
  virtual std::uint32_t here() const = 0;
  /// True: the message is the carrier's now.
  virtual bool takes(base_actor& to, caf::mailbox_element_ptr& what) = 0;
};
inline constinit thread_local message_carrier* carrier_of_thread = nullptr;

/// What every actor has besides its State: the deadlines of its open requests. CAF arms one timer per request in a
/// thread of its own and wakes that thread each time, which cost 4 % of a run's CPU; here an actor arms one timer for all of
/// them, a coarse one while none is near, and none that outlives the actor for long.
class base_actor : public caf::event_based_actor {
public:
  explicit base_actor(caf::actor_config& cfg)
      : event_based_actor(cfg), place_(carrier_of_thread ? carrier_of_thread->here() : 0) {}
  using event_based_actor::enqueue;
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* host) override; ///< message_faults.cpp
  /// The simulated machine that it is on; 0 where there is one machine.
  std::uint32_t place() const { return place_; }
  /// The request `response` fails with a timeout after `deadline`, should it still be open then.
  void watch_deadline(caf::message_id response, duration deadline);
  /// `what` to itself after `delay`, or a little later (runtime/coarse_timers.hpp).
  void remind(duration delay, caf::message what);
  /// Calls `again` in this actor after `pause`, should the request still be open then.
  void watch_answer(caf::message_id response, duration pause, std::function<void()> again);

protected:
  /// What the State's behavior does not know: the deadlines' timer, a question for a sign of life, an injected fault. Nothing, if
  /// it is none of these.
  std::optional<caf::result<caf::message>> own_message(const caf::message_view& what);
  void forget_requests() { std::vector<open_request>().swap(requests_); }

private:
  void check_deadlines();
  void stall(duration length);
  bool releases(const caf::type_erased_tuple& content);
  void release_held(duration now, caf::execution_unit* host);
  bool stalled_ = false;
  std::uint32_t place_;
  struct open_request {
    std::chrono::steady_clock::time_point due;
    caf::message_id response;
    std::unique_ptr<std::function<void()>> again; ///< null: it fails then
  };
  void watch(open_request what);
  void arm_timer(std::chrono::steady_clock::time_point now);
  std::vector<open_request> requests_;
  std::chrono::steady_clock::time_point timer_due_ = std::chrono::steady_clock::time_point::max();
  duration timer_step_{};
};

/// Every actor answers this, behind what its mailbox holds: a sign that it takes messages. -> done
struct sign_of_life {};
/// Ends the actor by an exception in its handler, or keeps it from taking messages for `stall` (zero: for ever). Answers to its own
/// requests still reach it.
struct inject_throw {
  std::string why;
};
struct inject_stall {
  duration length{0};
};

/// Runs `State`: a class with `State(self_ptr, Args...)`, `behavior make_behavior()` and `static constexpr
/// const char* name`. CAF 0.17 ends an actor on any unhandled error message, the reply to a message the peer
/// did not understand included, so all four default handlers are replaced. A throwing handler still ends its
/// actor, with its text as the reason.
template <class State, class... Args>
class state_actor : public base_actor {
public:
  explicit state_actor(caf::actor_config& cfg, Args... args)
      : base_actor(cfg), life_(std::in_place_index<unborn>, std::move(args)...) {
    ++living<State>().now;
    set_default_handler([this](caf::scheduled_actor*, caf::message_view& what) -> caf::result<caf::message> {
      if (auto answer = own_message(what)) return std::move(*answer);
      ++stats().unexpected;
      return caf::sec::unexpected_message;
    });
    set_error_handler([](caf::scheduled_actor*, caf::error&) { ++stats().errors; }); // CAF's default: quit()
    set_down_handler([](caf::scheduled_actor*, caf::down_msg&) { ++stats().downs; });
    set_exception_handler([](caf::scheduled_actor*, std::exception_ptr& thrown) -> caf::error {
      ++stats().exceptions;
      try {
        std::rethrow_exception(thrown);
      } catch (const std::exception& e) {
        return to_caf({errc::internal, e.what()});
      } catch (...) {
        return to_caf({errc::internal, "an exception of unknown type"});
      }
    });
  }
  caf::behavior make_behavior() override {
    auto args = std::move(std::get<unborn>(life_));
    std::apply([this](auto&&... xs) { life_.template emplace<alive>(this, std::move(xs)...); },
               std::move(args));
    return std::get<alive>(life_).make_behavior();
  }
  ~state_actor() override { count_out(); }
  void on_exit() override {
    if (const auto watch = watch_of_ends.load(std::memory_order_relaxed)) watch(id());
    life_.template emplace<over>(); // breaks cycles of actor handles
    forget_requests();
    count_out();
  }
  const char* name() const override { return State::name; }

private:
  void count_out() {
    if (std::exchange(counted_, false)) --living<State>().now;
  }
  /// One after the other, in the same place: many actors wait for long.
  enum : std::size_t { unborn, alive, over };
  std::variant<std::tuple<Args...>, State, std::monostate> life_;
  bool counted_ = true;
};

// -- spawn, stop, kill
// -------------------------------------------------------------------------------------------------

/// spawn_state<worker>(where, 42): `where` is a self_ptr (or *self) or an actor system. One spawned by an
/// actor is not its child: only a supervisor makes children.
template <class State, caf::spawn_options Os = caf::no_spawn_options, class Spawner, class... Args>
actor_ref spawn_state(Spawner&& where, Args&&... args) {
  using actor_type = state_actor<State, std::decay_t<Args>...>;
  if constexpr (std::is_pointer_v<std::decay_t<Spawner>>)
    return where->template spawn<actor_type, Os>(std::forward<Args>(args)...);
  else
    return where.template spawn<actor_type, Os>(std::forward<Args>(args)...);
}

/// The same on a thread of its own: for LibTorch, SQLite and whatever else blocks. Few and long-lived.
template <class State, class Spawner, class... Args>
actor_ref spawn_detached(Spawner&& where, Args&&... args) {
  return spawn_state<State, caf::detached>(where, std::forward<Args>(args)...);
}

/// Where blocking actors run: on threads of their own in production, all in the simulator's one thread under
/// simulation. Handed to whoever builds a tree; `threads.spawn<store_actor>(self, ...)` inside a child_spec's
/// `start`.
struct thread_policy {
  bool own_threads = true; ///< false under simulation
  template <class State, class Spawner, class... Args>
  actor_ref spawn(Spawner&& where, Args&&... args) const {
    return own_threads ? spawn_detached<State>(where, std::forward<Args>(args)...)
                       : spawn_state<State>(where, std::forward<Args>(args)...);
  }
  /// Called by a State's constructor: its own thread gets this name (at most 15 characters) in profiles and /proc.
  void name_own(const char* name) const;
};

/// Ends `whom` now: CAF's send_exit queues behind the whole mailbox.
void kill(const actor_ref& whom);
/// Asks `whom` to end after what is already in its mailbox.
void request_stop(const actor_ref& whom);

// -- messages
// ----------------------------------------------------------------------------------------------------------

/// CAF's timers take whole milliseconds; rounds up, so that a deadline never fires early.
inline std::chrono::milliseconds to_timeout(duration d) {
  return std::chrono::ceil<std::chrono::milliseconds>(d);
}

/// A request with a deadline: exactly one of `ok` (with the reply's values) and `bad` (with an `error`) runs,
/// in this actor. There is no request without a deadline. `again`, if any, runs after `pause` should it still be open then.
template <class Message, class Ok, class Bad>
void ask(self_ptr self, const actor_ref& whom, duration deadline, Message&& message, Ok ok, Bad bad,
         duration pause = duration(0), std::function<void()> again = {}) {
  if (!whom) { // not registered (yet, or between two lives): the same as a dead one
    bad(error{errc::unavailable, "no such actor at the moment"});
    return;
  }
  auto request = self->request(whom, caf::infinite, std::forward<Message>(message));
  self->watch_deadline(request.id(), deadline);
  if (again) self->watch_answer(request.id(), pause, std::move(again));
  request.then(std::move(ok), [bad = std::move(bad)](caf::error& why) mutable { bad(from_caf(why)); });
}

/// Fire and forget. A null target is ignored.
template <class Message>
void tell(self_ptr self, const actor_ref& whom, Message&& message) {
  if (whom) self->send(whom, std::forward<Message>(message));
}
/// From outside of any actor.
template <class Message>
void tell(const actor_ref& whom, Message&& message) {
  if (whom) caf::anon_send(whom, std::forward<Message>(message));
}

/// Sends to oneself after `delay`. The timer holds the actor alive: keep delays short and re-arm them.
template <class Message>
void send_later(self_ptr self, duration delay, Message&& message) {
  self->delayed_send(self, to_timeout(delay), std::forward<Message>(message));
}

/// The same for what may come up to 100 ms late, at a fraction of the cost; the timer keeps nobody alive.
template <class Message>
void send_about(self_ptr self, duration delay, Message&& message) {
  self->remind(delay, caf::make_message(std::forward<Message>(message)));
}

/// A response promise that fails its request when it is forgotten or its actor dies. A handler returns
/// `.promise()`.
template <class T>
class reply {
public:
  explicit reply(self_ptr self) : promise_(self->make_response_promise<T>()) {}
  reply(reply&& other) noexcept : promise_(other.promise_), open_(std::exchange(other.open_, false)) {}
  reply& operator=(reply&& other) noexcept {
    if (this != &other) {
      fail({errc::unavailable, "the request was dropped"});
      promise_ = other.promise_;
      open_ = std::exchange(other.open_, false);
    }
    return *this;
  }
  ~reply() { fail({errc::unavailable, "the actor ended before it answered"}); }
  caf::typed_response_promise<T> promise() const { return promise_; }
  bool open() const { return open_; }
  void deliver(T value) {
    if (std::exchange(open_, false)) promise_.deliver(std::move(value));
  }
  void fail(error why) {
    if (std::exchange(open_, false)) promise_.deliver(to_caf(why));
  }

private:
  caf::typed_response_promise<T> promise_;
  bool open_ = true;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, done&) {
  return f(caf::meta::type_name("done"));
}

} // namespace troupe

/// Writes the `inspect` that a message type needs to cross a node; stands behind the struct, in its
/// namespace: `TROUPE_INSPECT(turn, x.role, x.text)`, and `TROUPE_INSPECT(ping)` for a struct without
/// members. A raw float or double must not appear in it (CAF's serializer hangs on infinity): see
/// runtime/wire.hpp. Registration: runtime/message_types.hpp.
#define TROUPE_INSPECT(type, ...)                                                                            \
  template <class Inspector>                                                                                 \
  typename Inspector::result_type inspect(Inspector& f, [[maybe_unused]] type& x) {                          \
    return f(caf::meta::type_name(#type) __VA_OPT__(, ) __VA_ARGS__);                                        \
  }

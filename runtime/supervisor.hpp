#pragma once

#include "runtime/base/random.hpp"
#include "runtime/directory.hpp"
#include <deque>
#include <vector>

namespace troupe {

enum class restart_strategy : std::uint8_t {
  one_for_one,  ///< only the child that ended is restarted
  one_for_all,  ///< all children are stopped (in reverse) and started again (in order)
  rest_for_one, ///< the child that ended and those started after it
};

enum class restart_kind : std::uint8_t {
  permanent, ///< always restarted
  transient, ///< restarted unless it ended normally
  temporary, ///< never restarted
};

/// How to make one child. `start` runs at the first start and at every restart; if it throws, the start has
/// failed and counts as a failure of the child.
struct child_spec {
  std::string id; ///< unique among its siblings; also its name in the directory
  std::function<actor_ref(self_ptr supervisor)> start;
  restart_kind restart = restart_kind::permanent;
  duration stop_deadline = std::chrono::seconds(5); ///< then it is killed
  /// A child that ends abnormally this often (in a row of its own, whatever the time, without child_progressed in between) is quarantined: given
  /// up with its last reason and reported to the observer; its siblings stay as they are. Its failures do not
  /// use up the supervisor's intensity (a normal end of a permanent child does). 0 = never quarantined, its
  /// failures use the intensity.
  int quarantine_after = 0;
};

struct backoff_options {
  duration initial = std::chrono::milliseconds(0);      ///< before the first restart within the period
  duration factor_base = std::chrono::milliseconds(10); ///< then base * 2^(n-2), at most `maximum`
  duration maximum = std::chrono::seconds(5);
  double jitter = 0.2; ///< +- share, drawn from the supervisor's seed
};

/// When lives of one child, one after the other, are a crash loop. Back-off keeps such a child under every intensity.
struct crash_loop_options {
  int lives = 0;                            ///< so many in a row that ended without getting on ...
  duration over = std::chrono::seconds(10); ///< ... and for so long: the supervisor gives up. 0 lives: never
  /// A number that changes when the child named so gets on with its work, as long as there is work for it; none: a life of
  /// `stable_after` has got on. Empty: none for all.
  std::function<std::optional<std::uint64_t>(const std::string& id)> work{};
  duration stable_after = std::chrono::seconds(5);
};

struct supervisor_options {
  std::string name = "supervisor";
  restart_strategy strategy = restart_strategy::one_for_one;
  int intensity = 3; ///< more restarts than this within `period` and the supervisor gives up: stops all, ends
                     ///< with errc::exhausted
  duration period = std::chrono::seconds(5);
  backoff_options backoff;
  crash_loop_options crash_loop;
  std::uint64_t seed = 0;
  directory_ptr names;         ///< where children are announced; may be null
  const clock* time = nullptr; ///< null: the machine's
  /// Told of every end, restart, quarantine and give-up, in the supervisor's own thread: for metrics and
  /// logs.
  std::function<void(const struct supervision_event&)> observer;
};

enum class supervision_kind : std::uint8_t {
  started,
  ended,
  restarted,
  quarantined,
  gave_up,
  stopped,
  killed_late
};

struct supervision_event {
  supervision_kind kind;
  std::string supervisor, child;
  error reason;     ///< why the child ended; code internal and "normal" for a normal end
  int restarts = 0; ///< of this child so far
};

// -- messages a supervisor takes (local ones: they carry functions)
// ------------------------------------------------------ An end is normal if its reason is normal or a
// requested shutdown; all else (kill, exception, error) is abnormal.
struct start_child {
  child_spec spec;
};  ///< -> actor_ref. conflict: the id lives; exhausted: it is quarantined;
    ///< unavailable: `start` failed (the child is not kept), or all is stopping
struct stop_child {
  std::string id;
}; ///< -> done. Within stop_deadline, then killed. not_found; timeout: a handler never ends
/// From a child that has got on with its work: its deaths are counted anew, for quarantine and back-off. One that dies now and then at random would otherwise be taken
/// for poison if only it lives long enough.
struct child_progressed {
  std::string id;
};
struct list_children {}; ///< -> std::vector<child_status>
struct release_quarantine {
  std::string id;
};                  ///< -> done. A person retries a poison task. not_found
struct stop_all {}; ///< -> done. Reverse order, each bounded, then the supervisor ends normally

struct child_status {
  std::string id, state; ///< "running" | "restarting" | "quarantined" | "stopping"
  int restarts = 0;
  std::string last_reason;
};

/// OTP's supervisor (Armstrong 2003; Erlang's stdlib `supervisor`), which CAF lacks.
///   SUP-1  Children start in order; a failed start stops those before it in reverse, and the supervisor
///   ends. (In order means
///          the calls of `start`. A State's constructor runs later, in the child: messages sent to it
///          meanwhile wait, and if it throws, that is an end like any other.)
///   SUP-2  Children stop in reverse order, each within its deadline, then killed; nothing outlives its
///   supervisor. SUP-3  More than `intensity` restarts within `period` end the supervisor: the parent
///   decides. SUP-4  A restart waits its back-off; a request to a child meanwhile fails at once (the
///   directory has no entry). SUP-5  A quarantined child is listed with its reason and restarted only by
///   release_quarantine. SUP-6  An end that the supervisor did not ask for is acted on exactly once.
///   SUP-7  A child that comes up again and again and never gets on ends the supervisor (crash_loop), whatever the back-off.
actor_ref spawn_supervisor(caf::actor_system& system, supervisor_options options,
                           std::vector<child_spec> children);
/// As a child of another supervisor: use inside a child_spec's `start`.
actor_ref spawn_supervisor(self_ptr parent, supervisor_options options, std::vector<child_spec> children);

} // namespace troupe

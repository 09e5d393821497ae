#pragma once

#include "runtime/actor.hpp"
#include <memory>
#include <string_view>

namespace troupe {

/// What becomes of one message on its way.
struct message_fate {
  enum class what : std::uint8_t {
    deliver,
    drop,      ///< it never arrives; a request's asker hears nothing
    duplicate, ///< it arrives twice
    delay,     ///< it arrives so much later; others overtake it
    reorder,   ///< it arrives behind the next message to the same actor (or after `by`, if none comes)
  } kind = what::deliver;
  duration by{0};
};

/// A lossy network between the actors of one system, for tests and for runs with faults (docs/faults.md): requests, answers and
/// what is told. Timers, an actor's messages to itself, those from outside of any actor, and the news of ends stay as they are: a
/// death is always heard of.
class message_faults {
public:
  virtual ~message_faults() = default;
  /// Both by State::name; in the thread of whoever sends. Thread-safe.
  virtual message_fate fate(std::string_view from, std::string_view to) = 0;
};

/// From now on `how` decides; null: every message arrives again, those held back are gone. Without any, sending costs one atomic
/// read more. To be taken back before its system ends.
void set_message_faults(caf::actor_system& system, std::shared_ptr<message_faults> how);

} // namespace troupe

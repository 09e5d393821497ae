#pragma once

#include "runtime/directory.hpp"
#include <functional>
#include <map>

namespace troupe {

struct health_options {
  directory_ptr names;
  const clock* time = nullptr;
  duration period = std::chrono::milliseconds(250);
  /// How long this actor may take no message; zero: it is not watched.
  std::function<duration(const std::string& name)> patience;
  /// It took none for so long and is killed now.
  std::function<void(const std::string& name, duration patience)> on_silent;
};

/// Health is progress: whoever takes no message for its patience is killed, and its supervisor gives it a new life.
///   HEALTH-1  A silent actor is killed within period + patience.
///   HEALTH-2  A machine that slept, or a process that was stopped, condemns nobody: a round that comes late asks only.
/// A handler that computes is silent too: patience must exceed the longest.
class health_actor {
public:
  static constexpr const char* name = "health";
  health_actor(self_ptr self, health_options options) : self_(self), options_(std::move(options)) {}
  behavior make_behavior();

private:
  void look();
  void ask_for_life(const std::string& name, duration patience);

  self_ptr self_;
  health_options options_;
  std::map<std::string, std::uint64_t> asked_; ///< the actor's id
  duration due_{};
  std::uint64_t sleeps_ = 0; ///< rounds that came late
};

} // namespace troupe

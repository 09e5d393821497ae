#pragma once

#include "caf/all.hpp"
#include "runtime/base/clock.hpp"
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace troupe {

/// Timers for what may come a little late: deadlines that are looked at now and then, checks of what mostly goes well. CAF's own
/// timers wake its timer thread whenever one is set; most of ours are set by actors that end before theirs fires, hundreds of times
/// a second. Here setting one is a push to a list, which a thread looks through ten times a second.
///   TIME-1  A message comes at its time or up to 100 ms later (and what the machine adds), never earlier.
///   TIME-2  A timer keeps nobody alive: that of an actor that has ended is forgotten.
/// Thread-safe, but for `stop`, after which none fires.
class coarse_timers {
public:
  coarse_timers();
  ~coarse_timers();
  coarse_timers(const coarse_timers&) = delete;
  void add(duration delay, caf::weak_actor_ptr whom, caf::message what);
  void stop();

private:
  struct entry {
    std::chrono::steady_clock::time_point due;
    caf::weak_actor_ptr whom;
    caf::message what;
  };
  void run();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<entry> entries_;
  bool stopping_ = false;
  std::thread thread_; // the last: it uses the others
};

/// Implemented by the configuration of a system that has them; elsewhere (in the simulator) CAF's timers do.
class with_coarse_timers {
public:
  virtual ~with_coarse_timers() = default;
  virtual coarse_timers& timers() const = 0;
};

} // namespace troupe

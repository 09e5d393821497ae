#include "runtime/coarse_timers.hpp"

#include <algorithm>
#include <pthread.h>

namespace troupe {

namespace {
constexpr auto look_every = std::chrono::milliseconds(100);
}

coarse_timers::coarse_timers() : thread_([this] { run(); }) {}
coarse_timers::~coarse_timers() { stop(); }

void coarse_timers::add(duration delay, caf::weak_actor_ptr whom, caf::message what) {
  const auto due = std::chrono::steady_clock::now() + delay;
  std::scoped_lock lock(mutex_);
  entries_.push_back({due, std::move(whom), std::move(what)});
  if (entries_.size() == 1) changed_.notify_one();
}

void coarse_timers::stop() {
  {
    std::scoped_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  entries_.clear();
}

void coarse_timers::run() {
  ::pthread_setname_np(::pthread_self(), "timers");
  std::vector<entry> due;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (entries_.empty()) {
      changed_.wait(lock);
      continue;
    }
    changed_.wait_for(lock, look_every, [this] { return stopping_; });
    const auto now = std::chrono::steady_clock::now();
    const auto later =
        std::partition(entries_.begin(), entries_.end(), [&](const entry& e) { return e.due > now; });
    due.assign(std::make_move_iterator(later), std::make_move_iterator(entries_.end()));
    entries_.erase(later, entries_.end());
    lock.unlock();
    for (auto& e : due)
      if (auto whom = e.whom.lock())
        whom->enqueue(nullptr, caf::make_message_id(), std::move(e.what), nullptr); // TIME-2
    due.clear(); // what was a last handle ends its actor here, outside of the lock
    lock.lock();
  }
}

} // namespace troupe

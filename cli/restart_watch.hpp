#pragma once

#include "gpu/engine_core.hpp"
#include "runtime/store.hpp"
#include <condition_variable>
#include <map>
#include <mutex>

namespace troupe::cli {

/// What may happen to a victim, in the order in which it does.
enum class life_step : std::uint8_t { ended, restarted, read, asked, sampled, turn, over };

/// When each step of each victim was last seen, for whoever waits for it. Thread-safe.
class restart_watch {
public:
  void note(life_step what, const std::string& who, duration at = system_clock().now()) {
    std::scoped_lock lock(mutex_);
    seen_[{who, what}] = at;
    wake_.notify_all();
  }
  void took_its_end(std::uint64_t actor) {
    std::scoped_lock lock(mutex_);
    took_[actor] = system_clock().now();
  }
  void clear() {
    std::scoped_lock lock(mutex_);
    seen_.clear(), took_.clear();
  }
  std::optional<duration> took(std::uint64_t actor) const {
    std::scoped_lock lock(mutex_);
    const auto found = took_.find(actor);
    return found == took_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<duration> when(life_step what, const std::string& who, duration since) const {
    std::scoped_lock lock(mutex_);
    return find(what, who, since);
  }
  /// Waits until one of the steps was seen after `since`; nothing: not within `patience`.
  std::optional<duration> wait(std::initializer_list<life_step> any, const std::string& who, duration since,
                               std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    std::optional<duration> out;
    wake_.wait_for(lock, patience, [&] {
      for (auto what : any)
        if (!out) out = find(what, who, since);
      return out.has_value();
    });
    return out;
  }

private:
  std::optional<duration> find(life_step what, const std::string& who, duration since) const {
    const auto found = seen_.find({who, what});
    if (found == seen_.end() || found->second < since) return std::nullopt;
    return found->second;
  }
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::pair<std::string, life_step>, duration> seen_;
  std::map<std::uint64_t, duration> took_;
};

/// The same parts, whose steps a watch hears of.
std::unique_ptr<engine_core> watched(std::unique_ptr<engine_core> inner, std::shared_ptr<restart_watch> by);
std::unique_ptr<event_store> watched(std::unique_ptr<event_store> inner, std::shared_ptr<restart_watch> by);

} // namespace troupe::cli

#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace troupe {

/// Which work is begun, so that what a fault makes a run do again can be counted. Thread-safe.
class redone_work {
public:
  /// A sequence's turn, named by the length of its context, is begun. True: it was begun before.
  bool begin_turn(std::uint64_t sequence, std::size_t context) {
    std::scoped_lock lock(mutex_);
    if (turns_.size() > most) turns_.clear(); // forgets that some were begun: counts too few, never too many
    auto [it, fresh] = turns_.try_emplace(sequence, context);
    return !fresh && std::exchange(it->second, context) == context;
  }
  bool begin_step(std::uint64_t step) {
    std::scoped_lock lock(mutex_);
    return !steps_.insert(step).second;
  }

private:
  static constexpr std::size_t most = 1 << 20;
  std::mutex mutex_;
  std::map<std::uint64_t, std::size_t> turns_; ///< the last of each sequence
  std::set<std::uint64_t> steps_;
};

} // namespace troupe

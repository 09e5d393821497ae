#pragma once

#include <cstddef>
#include <cstdint>

namespace troupe {

/// The endless order in which a run takes its tasks: every epoch is a fresh permutation of all of them, and
/// position i is the same task whoever asks, in whatever order and from whatever thread, so that a resumed
/// run goes on with the task that would have come.
class task_order {
public:
  /// Precondition: 0 < n_tasks < 2^62.
  task_order(std::size_t n_tasks, std::uint64_t seed) : n_(n_tasks), seed_(seed) {}
  /// The index of the i-th task, in [0, n_tasks).
  std::size_t operator[](std::uint64_t i) const;
  std::uint64_t epoch(std::uint64_t i) const { return i / n_; }

private:
  std::uint64_t n_, seed_;
};

} // namespace troupe

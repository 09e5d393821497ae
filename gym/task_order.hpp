#pragma once

#include <cstdint>
#include <vector>

namespace troupe {

/// The endless order in which a run takes its tasks: every epoch is a fresh permutation of all of them, and
/// position i is the same task whoever asks and in whatever order, so that a resumed run goes on with the
/// task that would have come. Not thread-safe (it keeps the last epoch asked for).
class task_order {
public:
  /// Precondition: n_tasks > 0.
  task_order(std::size_t n_tasks, std::uint64_t seed) : n_(n_tasks), seed_(seed) {}
  /// The index of the i-th task, in [0, n_tasks).
  std::size_t operator[](std::uint64_t i) const;
  std::uint64_t epoch(std::uint64_t i) const { return i / n_; }

private:
  std::size_t n_;
  std::uint64_t seed_;
  mutable std::uint64_t epoch_ = 0;
  mutable std::vector<std::uint32_t> order_; ///< of epoch_; empty before the first question
};

} // namespace troupe

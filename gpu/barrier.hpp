#pragma once

#include <atomic>
#include <cstdint>

namespace troupe {

/// Where a fixed number of threads wait for each other, again and again. Who comes early looks for about 20 microseconds, which is enough where
/// every thread has a core, and then blocks: on shared cores a thread that spins takes the core from the one that it waits for.
class barrier {
public:
  explicit barrier(int threads) : threads_(threads) {}
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  void wait() {
    const auto round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.fetch_add(1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    for (int i = 0; i < looks; ++i) {
      if (round_.load(std::memory_order_acquire) != round) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    while (round_.load(std::memory_order_acquire) == round) round_.wait(round, std::memory_order_acquire);
  }

private:
  static constexpr int looks = 500;
  const int threads_;
  std::atomic<int> arrived_{0};
  std::atomic<std::uint32_t> round_{0};
};

} // namespace troupe

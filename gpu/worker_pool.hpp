#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace troupe {

/// Runs one function on a fixed number of threads, the caller's included, and waits for all of them. Threads
/// block between runs: spinning would take cores from whoever shares the machine.
class worker_pool {
public:
  explicit worker_pool(int threads); ///< >= 1; 1 starts none
  ~worker_pool();
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;

  int size() const { return static_cast<int>(helpers_.size()) + 1; }
  /// work(i) for every i in [0, parts), parts <= size(). An exception of the work ends the program.
  void run(int parts, const std::function<void(int)>& work);

private:
  void serve(int index);

  std::vector<std::thread> helpers_;
  std::mutex mutex_;
  std::condition_variable started_, finished_;
  const std::function<void(int)>* work_ = nullptr;
  int parts_ = 0, running_ = 0;
  std::uint64_t round_ = 0;
  bool stopping_ = false;
};

} // namespace troupe

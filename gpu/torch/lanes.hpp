#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace troupe::torch_detail {

/// A few threads that share out numbered work the same way every time: lane l does l, l + lanes, ... in
/// order. Lane 0 is the caller's thread. An exception in a lane is thrown again by `run`, after all lanes are
/// done (the lowest lane's).
class lane_pool {
public:
  explicit lane_pool(int lanes);
  ~lane_pool();
  int size() const { return static_cast<int>(errors_.size()); }
  void run(std::size_t items, const std::function<void(std::size_t item, std::size_t lane)>& work);

private:
  void loop(std::size_t lane);
  void share(std::size_t lane) noexcept;

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::uint64_t round_ = 0;
  std::size_t busy_ = 0, items_ = 0;
  bool stop_ = false;
  const std::function<void(std::size_t, std::size_t)>* work_ = nullptr;
  std::vector<std::exception_ptr> errors_;
  std::vector<std::jthread> threads_;
};

/// Tells LibTorch's own threading to stay inside the calling thread: the lanes are the parallelism.
void stay_in_this_thread();

} // namespace troupe::torch_detail

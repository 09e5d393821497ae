#include "gpu/torch/lanes.hpp"

#include <ATen/Parallel.h>

namespace troupe::torch_detail {

void stay_in_this_thread() {
  thread_local const bool once = (at::set_num_threads(1), true);
  (void)once;
}

lane_pool::lane_pool(int lanes) : errors_(static_cast<std::size_t>(lanes < 1 ? 1 : lanes)) {
  for (std::size_t lane = 1; lane < errors_.size(); ++lane)
    threads_.emplace_back([this, lane] { loop(lane); });
}

lane_pool::~lane_pool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
}

void lane_pool::share(std::size_t lane) noexcept {
  try {
    stay_in_this_thread();
    for (std::size_t item = lane; item < items_; item += errors_.size()) (*work_)(item, lane);
  } catch (...) {
    errors_[lane] = std::current_exception();
  }
}

void lane_pool::run(std::size_t items, const std::function<void(std::size_t, std::size_t)>& work) {
  {
    std::lock_guard lock(mutex_);
    items_ = items, work_ = &work, busy_ = threads_.size();
    for (auto& e : errors_) e = nullptr;
    ++round_;
  }
  wake_.notify_all();
  share(0);
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
  }
  for (auto& e : errors_)
    if (e) std::rethrow_exception(e);
}

void lane_pool::loop(std::size_t lane) {
  for (std::uint64_t seen = 0;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
    }
    share(lane);
    std::lock_guard lock(mutex_);
    if (--busy_ == 0) done_.notify_one();
  }
}

} // namespace troupe::torch_detail

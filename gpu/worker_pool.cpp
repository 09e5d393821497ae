#include "gpu/worker_pool.hpp"

#include <cassert>

namespace troupe {

worker_pool::worker_pool(int threads) {
  for (int i = 1; i < threads; ++i) helpers_.emplace_back([this, i] { serve(i); });
}

worker_pool::~worker_pool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  started_.notify_all();
  for (auto& helper : helpers_) helper.join();
}

void worker_pool::run(int parts, const std::function<void(int)>& work) {
  assert(parts <= size());
  if (parts > 1) {
    std::lock_guard lock(mutex_);
    work_ = &work;
    parts_ = parts;
    running_ = parts - 1;
    ++round_;
  }
  if (parts > 1) started_.notify_all();
  if (parts > 0) work(0);
  if (parts <= 1) return;
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [this] { return running_ == 0; });
}

void worker_pool::serve(int index) {
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    started_.wait(lock, [&] { return stopping_ || round_ != seen; });
    if (stopping_) return;
    seen = round_;
    if (index >= parts_) continue;
    const auto* work = work_;
    lock.unlock();
    (*work)(index);
    lock.lock();
    if (--running_ == 0) finished_.notify_one();
  }
}

} // namespace troupe

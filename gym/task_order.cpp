#include "gym/task_order.hpp"

#include "runtime/base/random.hpp"
#include <numeric>

namespace troupe {

std::size_t task_order::operator[](std::uint64_t i) const {
  if (order_.empty() || epoch(i) != epoch_) {
    epoch_ = epoch(i);
    order_.resize(n_);
    std::iota(order_.begin(), order_.end(), 0u);
    random_stream random(derive_seed(derive_seed(seed_, "task_order"), epoch_));
    shuffle(order_, random);
  }
  return order_[i % n_];
}

} // namespace troupe

#include "gpu/torch/paged_cache.hpp"

#include "gpu/cpu_kernels.hpp"
#include <ATen/ops/empty.h>
#include <algorithm>
#include <c10/core/ScalarType.h>

namespace troupe::torch_detail {

paged_cache::paged_cache(const model_config& config, std::int64_t blocks, at::ScalarType type,
                         at::Device device)
    : blocks_(blocks),
      data_(at::empty(
          {blocks + 2, config.num_hidden_layers, 2, lanes, config.num_key_value_heads, config.head_dim},
          at::TensorOptions(type).device(device))) {
  data_.narrow(0, blocks, 2).zero_();
}

std::int64_t paged_cache::bytes(const model_config& config, std::int64_t blocks, at::ScalarType type) {
  return (blocks + 2) * config.num_hidden_layers * 2 * lanes * config.num_key_value_heads * config.head_dim *
         static_cast<std::int64_t>(c10::elementSize(type));
}

void paged_cache::copy(int from, int to, int positions) {
  std::erase(fresh_, to);
  auto target = data_.select(0, to); // [layers, 2, 16, kv heads, head_dim]
  if (positions < lanes) target.zero_();
  target.narrow(2, 0, positions).copy_(data_.select(0, from).narrow(2, 0, positions), true);
}

void paged_cache::clear_fresh() {
  std::sort(fresh_.begin(), fresh_.end());
  for (std::size_t i = 0; i < fresh_.size();) { // numbers that follow each other in one launch
    std::size_t end = i + 1;
    while (end < fresh_.size() && fresh_[end] <= fresh_[end - 1] + 1) ++end;
    data_.narrow(0, fresh_[i], fresh_[end - 1] - fresh_[i] + 1).zero_();
    i = end;
  }
  fresh_.clear();
}

} // namespace troupe::torch_detail

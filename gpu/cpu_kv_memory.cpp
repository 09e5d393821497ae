#include "gpu/cpu_kv_memory.hpp"

#include <algorithm>

namespace troupe {

kv_layout::kv_layout(const model_config& config)
    : heads(config.num_key_value_heads), head_dim(config.head_dim), value_row(padded(config.head_dim)) {
  tile_floats_ = static_cast<std::ptrdiff_t>(head_dim + value_row) * lanes;
  block_floats = tile_floats_ * heads * config.num_hidden_layers;
}

void cpu_kv_memory::begin(int block) {
  const auto each = static_cast<std::size_t>(layout_.block_floats);
  const auto count = std::max<std::size_t>(1, aligned_floats::huge_page / sizeof(float) / each);
  while (blocks_.size() <= static_cast<std::size_t>(block)) {
    slabs_.emplace_back(each * count);
    for (std::size_t i = 0; i < count; ++i) blocks_.push_back(slabs_.back().data() + i * each);
  }
}

/// Positions lie side by side in each tile of keys: the whole block is one move, a part of it many.
void cpu_kv_memory::copy(int from, int to, int) { std::copy_n(block(from), layout_.block_floats, block(to)); }

} // namespace troupe

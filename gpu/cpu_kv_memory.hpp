#pragma once

#include "gpu/kv_cache.hpp"
#include "gpu/model_config.hpp"

namespace troupe {

/// Where in a block of 16 positions each layer and head keeps its tiles (see attention_past).
struct kv_layout {
  int heads = 0, head_dim = 0, value_row = 0;
  std::ptrdiff_t block_floats = 0;

  explicit kv_layout(const model_config& config);
  std::ptrdiff_t key_tile(int layer, int head) const {
    return (std::ptrdiff_t{layer} * heads + head) * tile_floats_;
  }
  std::ptrdiff_t value_tile(int layer, int head) const { return key_tile(layer, head) + head_dim * lanes; }

private:
  std::ptrdiff_t tile_floats_ = 0;
};

/// Blocks for the kernels of the CPU. Memory is taken when a block is first used, in pieces that fit huge pages, and kept.
class cpu_kv_memory final : public kv_memory {
public:
  explicit cpu_kv_memory(const kv_layout& layout) : layout_(layout) {}

  void begin(int block) override;
  void copy(int from, int to, int positions) override;

  const kv_layout& layout() const { return layout_; }
  float* block(int number) const { return blocks_[static_cast<std::size_t>(number)]; }

private:
  kv_layout layout_;
  std::vector<aligned_floats> slabs_;
  std::vector<float*> blocks_; ///< by number
};

} // namespace troupe

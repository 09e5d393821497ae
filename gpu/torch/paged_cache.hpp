#pragma once

#include "gpu/model_config.hpp"
#include <ATen/core/Tensor.h>
#include <vector>

namespace troupe::torch_detail {

/// Keys and values of all blocks on a device, in one tensor [blocks + 2, layers, 2, 16, kv heads, head_dim], so that a block is one piece of
/// memory. The last two are nobody's:
///   PAG-1  `blank()` holds zeros for ever: tables are padded with it. `spill()` takes what padding writes, and nobody reads it.
///   PAG-2  A block that gets an owner is zero before a pass sees it. Positions that a mask hides are multiplied with 0 all the same: what
///          an earlier owner's overflow left there would make them no numbers.
/// What is launched, is launched on the current stream.
class paged_cache {
public:
  paged_cache(const model_config& config, std::int64_t blocks, at::ScalarType type, at::Device device);

  /// Bytes of so many blocks, the two more included.
  static std::int64_t bytes(const model_config& config, std::int64_t blocks, at::ScalarType type);

  void begin(int block) { fresh_.push_back(block); }
  void copy(int from, int to, int positions);
  /// Before a pass: what `begin` has seen becomes zero.
  void clear_fresh();

  at::Tensor keys(int layer) const {
    return data_.select(1, layer).select(1, 0);
  } ///< [blocks + 2, 16, kv heads, head_dim]
  at::Tensor values(int layer) const { return data_.select(1, layer).select(1, 1); } ///< the same
  std::int64_t blank() const { return blocks_; }
  std::int64_t spill() const { return blocks_ + 1; }

private:
  std::int64_t blocks_;
  at::Tensor data_;
  std::vector<int> fresh_;
};

} // namespace troupe::torch_detail

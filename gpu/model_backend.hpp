#pragma once

#include "gpu/kv_cache.hpp"
#include "gpu/weights.hpp"
#include <functional>
#include <memory>
#include <vector>

namespace troupe {

/// One position of one sequence to compute.
struct model_row {
  const kv_sequence* sequence = nullptr; ///< its blocks reach `position`
  int position = 0;
  token current = 0, previous = -1; ///< previous: -1 at position 0
  bool wants_logits = false;
};

/// The forward pass of an engine and the memory of its keys and values. The scheduler (gpu/batching_engine.hpp) decides who runs, on
/// which blocks and how far; a backend computes it: own kernels on the CPU (gpu/cpu_backend.hpp), LibTorch's operators on any device
/// (gpu/torch/, in the plugin).
///
/// In a step: kv_memory::begin and copy as the scheduler hands out blocks, then one `forward` over all rows, whose consumer samples.
///   BACK-1  Keys and values of a row are written at its position, into the block that its sequence has there. What it attends to is
///           what its own sequence has up to and including that position.
///   BACK-2  The logits of a row are a function of its sequence's tokens and the weights. The CPU backend gives the same bits whatever
///           else is in the call; LibTorch's matrix products choose their order of summation by size: the same up to rounding.
///   BACK-3  `consume` is called once for every row that wants logits, and `forward` returns when all calls have. Calls with the same worker
///           follow each other, others may overlap.
/// Not thread-safe: one owner, which also calls no two functions at once.
class model_backend : public kv_memory {
public:
  /// What the next forward passes compute with. Throws std::invalid_argument, and the weights before stay, when a tensor is missing, has
  /// another shape than the config asks for, or holds what is no number.
  virtual void set_weights(const weights_ptr& weights) = 0;

  /// `logits`: padded(vocab_size) floats on the host, -infinity beyond the vocabulary, that may be changed. `worker`: 0 .. workers() - 1.
  using consumer = std::function<void(int row, float* logits, int worker)>;
  virtual int workers() const = 0;
  /// Rows of a sequence stand together, in order of position. Does not append to the sequences.
  virtual void forward(const std::vector<model_row>& rows, const consumer& consume) = 0;
};

} // namespace troupe

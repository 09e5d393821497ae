#pragma once

#include <ATen/core/Tensor.h>
#include <functional>
#include <memory>

namespace troupe::torch_detail {

/// Launches that a device has recorded and repeats as one: on the same memory, with what is in it now.
class device_graph {
public:
  virtual ~device_graph() = default;
  virtual void replay() = 0; ///< On the stream that it was recorded on.
};

/// Records what `work` launches on the current stream, without running it. `work` may be kept and called again. Tensors made in it live in memory that
/// all graphs share, and have no meaning when it is done: what is to be kept is copied to where it was before. Throws c10::Error when something in it cannot be recorded; nullptr: there are no graphs
/// on this device or in this build.
using graph_recorder = std::function<std::unique_ptr<device_graph>(const std::function<void()>& work)>;

/// CUDA graphs, where this is CUDA.
graph_recorder graph_recorder_for(at::Device device);

/// Whether this build links LibTorch's CUDA libraries (preset cuda).
bool built_with_cuda();

} // namespace troupe::torch_detail

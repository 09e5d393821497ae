#include "gpu/torch/device_graph.hpp"

#ifdef TROUPE_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace troupe::torch_detail {

#ifdef TROUPE_CUDA

namespace {

class cuda_graph final : public device_graph {
public:
  /// Other threads of the program may use the device meanwhile (a learner beside the engine): only this one's calls are recorded.
  cuda_graph(const std::function<void()>& work, at::cuda::MempoolId_t pool) {
    const auto device = c10::cuda::current_device();
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    bool ended = false;
    try {
      work();
      ended = true;
      graph_.capture_end();
    } catch (...) {
      give_up(device, pool, ended);
      throw;
    }
  }
  void replay() override { graph_.replay(); }

private:
  /// The stream leaves its recording, and memory is taken from where it was before, whatever became of the work.
  void give_up(c10::DeviceIndex device, at::cuda::MempoolId_t pool, bool ended) {
    try {
      if (!ended) graph_.capture_end();
    } catch (const c10::Error&) {
      ended = true; // it stops at what went wrong, before the memory's turn
    }
    if (ended) c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool);
    (void)cudaGetLastError();
  }

  at::cuda::CUDAGraph graph_;
};

} // namespace

graph_recorder graph_recorder_for(at::Device device) {
  if (!device.is_cuda()) return [](const std::function<void()>&) { return nullptr; };
  // One pool for all: what a graph leaves in it is used up before another runs, in the order of one stream.
  return [pool = at::cuda::graph_pool_handle()](const std::function<void()>& work) {
    return std::make_unique<cuda_graph>(work, pool);
  };
}

bool built_with_cuda() { return true; }

#else

graph_recorder graph_recorder_for(at::Device) {
  return [](const std::function<void()>&) { return nullptr; };
}

bool built_with_cuda() { return false; }

#endif

} // namespace troupe::torch_detail

#include "gpu/torch/find_device.hpp"

#include "gpu/torch/device_graph.hpp"
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <filesystem>

#ifdef TROUPE_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

namespace troupe::torch_detail {

namespace {

constexpr const char* driver = "/proc/driver/nvidia/version";

std::string what_was_found() {
  if (!built_with_cuda())
    return "the plugin is linked with LibTorch's CPU libraries alone (the preset cuda links the others: "
           "./troupe build cuda)";
  std::error_code ignored;
  return std::string("LibTorch's CUDA libraries find no device, and ") +
         (std::filesystem::exists(driver, ignored)
              ? "the NVIDIA driver is loaded: look at CUDA_VISIBLE_DEVICES"
              : std::string("no NVIDIA driver is loaded (no ") + driver + ")");
}

} // namespace

expected<c10::Device> find_device(const std::string& name) {
  if (name == "plain") return c10::Device(c10::kCPU);
  if (name != "cuda")
    return fail(errc::invalid, "the engine's device is \"" + name + "\", expected cuda or plain");
  if (!at::hasCUDA())
    return fail(errc::invalid, "the engine's device is cuda, found none: " + what_was_found());
  at::globalContext().lazyInitDevice(c10::kCUDA);
  at::globalContext().setAllowBF16ReductionCuBLAS(
      false); // sums stay float32, also those of a product that is cut in pieces
  return c10::Device(c10::kCUDA, 0);
}

engine_memory memory_of(c10::Device device) {
  if (device.is_cpu()) return *troupe::memory_of(engine_device::cpu);
  auto* allocator = c10::getDeviceAllocator(device.type());
  allocator->emptyCache();
  const auto [free, total] = allocator->getMemoryInfo(device.index());
  engine_memory out{"the CUDA device", static_cast<std::int64_t>(free), static_cast<std::int64_t>(total)};
#ifdef TROUPE_CUDA
  out.of = at::cuda::getDeviceProperties(device.index())->name;
#endif
  return out;
}

} // namespace troupe::torch_detail

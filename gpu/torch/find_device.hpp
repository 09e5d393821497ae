#pragma once

#include "runtime/base/error.hpp"
#include <c10/core/Device.h>
#include <string>

namespace troupe::torch_detail {

/// "cuda": the first CUDA device. "plain": the CPU, by LibTorch's own operators. Errors: invalid, for another word, or where there is no CUDA
/// device: what was found instead (a plugin without CUDA, no driver, no device).
expected<c10::Device> find_device(const std::string& name);

struct device_memory {
  std::string of;                   ///< "NVIDIA H100 80GB HBM3", or "the machine"
  std::int64_t free = 0, total = 0; ///< bytes
};
device_memory memory_of(c10::Device device);

} // namespace troupe::torch_detail

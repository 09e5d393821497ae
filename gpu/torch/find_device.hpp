#pragma once

#include "gpu/engine_device.hpp"
#include <c10/core/Device.h>

namespace troupe::torch_detail {

/// "cuda": the first CUDA device. "plain": the CPU, by LibTorch's own operators. Errors: invalid, for another word, or where there is no CUDA
/// device: what was found instead (a plugin without CUDA, no driver, no device).
expected<c10::Device> find_device(const std::string& name);

/// What LibTorch keeps for later counts as free: it is given back to the device.
engine_memory memory_of(c10::Device device);

} // namespace troupe::torch_detail

#pragma once

#include "gpu/engine_core.hpp"
#include <string>
#include <string_view>

namespace troupe {

/// cpu, cuda or auto. Errors: invalid.
expected<engine_device> engine_device_by_name(std::string_view name);
std::string name_of(engine_device device);

/// cpu and cuda as they are; automatic becomes cuda where the LibTorch plugin finds a CUDA device, else cpu. Errors: cuda was asked for and is
/// not there: invalid or not_found, which says what was found.
expected<engine_device> resolve(engine_device wanted);

/// An engine where `limits.device` says: the CPU's (make_cpu_engine), or the same scheduler over LibTorch's operators in the plugin. Errors:
/// those of make_cpu_engine and of `resolve`; exhausted, when the cache does not fit the device.
expected<std::unique_ptr<engine_core>> make_engine(const model_config& config, const engine_limits& limits);

/// The memory of the place where an engine computes.
struct engine_memory {
  std::string of;                   ///< "NVIDIA H100 80GB HBM3", or "the machine"
  std::int64_t free = 0, total = 0; ///< bytes
};
/// Errors: those of `resolve`.
expected<engine_memory> memory_of(engine_device device);
/// What keys and values of so many tokens take there, in bytes: all of it from the start on a device, with use on the CPU.
std::int64_t kv_bytes(const model_config& config, const engine_limits& limits, std::int64_t tokens);

} // namespace troupe

#pragma once

#include "gpu/cpu_kernels.hpp"
#include "gpu/engine_core.hpp"

namespace troupe {

/// make_cpu_engine with a chosen instruction set, for tests and benchmarks. Errors: invalid, also when this
/// machine lacks it.
expected<std::unique_ptr<engine_core>> make_cpu_engine(const model_config& config,
                                                       const engine_limits& limits, instruction_set kernels);

} // namespace troupe

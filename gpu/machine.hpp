#pragma once

#include <string>

namespace troupe {

/// The processor and the widest instruction set of it that our kernels use: "AMD EPYC 9B14, avx512". The engine gives the same
/// bits on all of them; the learner's depend on which kernels LibTorch chooses for the processor.
std::string machine_description();

} // namespace troupe

#include "gpu/cpu_kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma")

namespace troupe {

namespace {

constexpr int tile_rows = 6, tile_panels = 1; // 12 accumulators, 2 weights, 1 input of 16 registers

#include "gpu/vectors_avx2.inl"

} // namespace

#include "gpu/cpu_kernels.inl"

#pragma GCC pop_options

const cpu_kernels avx2_kernels{multiply, multiply_panels, rms_norm, rotate,
                               attend,   swiglu,          maximum,  exponentials};

} // namespace troupe
#else
namespace troupe {
const cpu_kernels avx2_kernels{};
}
#endif

#include "gpu/cpu_kernels.hpp"

#if defined(__x86_64__)
// g++ 12 takes the deliberately undefined registers of its own intrinsics for mistakes (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx2,fma")

namespace troupe {

namespace {

constexpr int tile_rows = 6, tile_panels = 4; // 24 accumulators, 4 weights, 1 input of 32 registers

#include "gpu/vectors_avx512.inl"

} // namespace

#include "gpu/cpu_kernels.inl"

#pragma GCC pop_options

const cpu_kernels avx512_kernels{multiply, multiply_panels, rms_norm, rotate,
                                 attend,   swiglu,          maximum,  exponentials};

} // namespace troupe
#else
namespace troupe {
const cpu_kernels avx512_kernels{};
}
#endif

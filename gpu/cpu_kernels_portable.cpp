#include "gpu/cpu_kernels.hpp"

#include <bit>

namespace troupe {

namespace {

constexpr int tile_rows = 2, tile_panels = 1;

#include "gpu/vectors_portable.inl"

} // namespace

#include "gpu/cpu_kernels.inl"

const cpu_kernels portable_kernels{multiply, multiply_panels, rms_norm, rotate,
                                   attend,   swiglu,          maximum,  exponentials};

} // namespace troupe

#include "gpu/torch/kernels.hpp"

#include <cstddef>

#pragma GCC target(                                                                                          \
    "arch=x86-64-v3") // after every include: nothing of the standard library is compiled for it
#pragma GCC optimize("no-math-errno,no-trapping-math,no-signed-zeros")

#define TROUPE_LANES 8
#define TROUPE_BLOCK_ROWS 4
#define TROUPE_KERNELS kernels_avx2
#define TROUPE_KERNELS_NAMESPACE on_avx2
#define TROUPE_KERNELS_NAME "avx2"
#include "gpu/torch/kernels_body.inl"

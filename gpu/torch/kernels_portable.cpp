#include "gpu/torch/kernels.hpp"

#include <cstddef>

#pragma GCC optimize("no-math-errno,no-trapping-math,no-signed-zeros")

#define TROUPE_LANES 4
#define TROUPE_BLOCK_ROWS 4
#define TROUPE_KERNELS kernels_portable
#define TROUPE_KERNELS_NAMESPACE on_portable
#define TROUPE_KERNELS_NAME "portable"
#include "gpu/torch/kernels_body.inl"

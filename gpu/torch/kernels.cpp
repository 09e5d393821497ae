#include "gpu/torch/kernels.hpp"

namespace troupe::torch_detail {

const kernel_table& kernels() {
  static const kernel_table& best =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
          ? kernels_avx512
      : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? kernels_avx2
                                                                        : kernels_portable;
  return best;
}

} // namespace troupe::torch_detail

#include "gpu/quantised_kernels.hpp"

namespace troupe {

const quantised_kernels& quantised_kernels_for(instruction_set which) {
#if defined(__x86_64__)
  if (which == instruction_set::avx512 && __builtin_cpu_supports("avx512vnni") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return avx512_quantised_kernels;
  if (which != instruction_set::portable && __builtin_cpu_supports("f16c")) return avx2_quantised_kernels;
#endif
  return portable_quantised_kernels;
}

} // namespace troupe

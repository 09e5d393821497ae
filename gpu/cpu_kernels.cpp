#include "gpu/cpu_kernels.hpp"

namespace troupe {

packed_matrix pack(const std::vector<const float*>& parts, const std::vector<int>& rows, int in) {
  packed_matrix out{.in = in, .out = 0, .data = {}};
  for (int n : rows) out.out += padded(n);
  out.data = aligned_floats(static_cast<std::size_t>(out.out) * in);
  int first = 0;
  for (std::size_t part = 0; part < parts.size(); first += padded(rows[part++]))
    for (int row = 0; row < rows[part]; ++row) {
      float* to = out.data.data() + static_cast<std::size_t>((first + row) / lanes) * in * lanes +
                  (first + row) % lanes;
      const float* from = parts[part] + static_cast<std::size_t>(row) * in;
      for (int k = 0; k < in; ++k) to[static_cast<std::size_t>(k) * lanes] = from[k];
    }
  return out;
}

bool has(instruction_set which) {
#if defined(__x86_64__)
  switch (which) {
  case instruction_set::avx512:
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
  case instruction_set::avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  case instruction_set::portable: return true;
  }
#endif
  return which == instruction_set::portable;
}

instruction_set best_instruction_set() {
  if (has(instruction_set::avx512)) return instruction_set::avx512;
  return has(instruction_set::avx2) ? instruction_set::avx2 : instruction_set::portable;
}

const cpu_kernels& kernels_for(instruction_set which) {
  switch (which) {
  case instruction_set::avx512: return avx512_kernels;
  case instruction_set::avx2: return avx2_kernels;
  case instruction_set::portable: break;
  }
  return portable_kernels;
}

} // namespace troupe

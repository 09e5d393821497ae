#include "gpu/machine.hpp"

#include "gpu/cpu_kernels.hpp"
#if defined(__x86_64__)
#include <array>
#include <cpuid.h>
#endif

namespace troupe {

namespace {

/// The brand string of cpuid (leaves 0x80000002 to 0x80000004), without its padding.
std::string processor_name() {
  std::string out;
#if defined(__x86_64__)
  for (unsigned leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    std::array<unsigned, 4> r{};
    if (__get_cpuid(leaf, &r[0], &r[1], &r[2], &r[3]) == 0) return "x86-64";
    for (const unsigned word : r)
      for (int byte = 0; byte < 4; ++byte)
        if (const char c = static_cast<char>(word >> (8 * byte)); c >= ' ' && c <= '~') out += c;
  }
  const auto first = out.find_first_not_of(' ');
  if (first == std::string::npos) return "x86-64";
  out = out.substr(first, out.find_last_not_of(' ') - first + 1);
#endif
  return out.empty() ? "unknown processor" : out;
}

std::string_view name_of(instruction_set which) {
  switch (which) {
  case instruction_set::avx512: return "avx512";
  case instruction_set::avx2: return "avx2";
  case instruction_set::portable: break;
  }
  return "portable";
}

} // namespace

std::string machine_description() {
  return processor_name() + ", " + std::string(name_of(best_instruction_set()));
}

} // namespace troupe

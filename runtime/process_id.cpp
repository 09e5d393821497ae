#include "runtime/process_id.hpp"

#include <random>

namespace caf::detail {
std::uint32_t get_process_id();
}

// CAF calls this function through the dynamic linker, which finds ours in the executable first.
std::uint32_t caf::detail::get_process_id() { return troupe::random_process_id(); }

std::uint32_t troupe::random_process_id() {
  static const std::uint32_t id =
      std::uint32_t(std::random_device{}()) | 1u; // an identity, not a draw of the run
  return id;
}

#pragma once

#include "runtime/base/error.hpp"
#include <cstdint>
#include <string>

namespace troupe::cli {

/// Whole numbers from first to last, both included.
struct number_range {
  std::uint64_t first = 0, last = 0;
};

/// "A..B", or one number. Errors: invalid, naming the option, what was found and an example.
expected<number_range> parse_range(const std::string& option, const std::string& text,
                                   const std::string& example);

} // namespace troupe::cli

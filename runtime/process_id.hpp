#pragma once

#include <cstdint>

namespace troupe {

/// A random number in place of the process's own in CAF's node identity: two containers on one host that both
/// run as process 1 would otherwise have the same identity and could not talk. Calling it links the
/// replacement into the program.
std::uint32_t random_process_id();

} // namespace troupe

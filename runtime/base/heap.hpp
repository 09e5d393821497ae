#pragma once

#include <algorithm>
#include <malloc.h>
#include <thread>

namespace troupe {

/// Bounds glibc's arenas to the processor's cores (8 times as many before), two at least: an actor with a thread of its own that dies leaves
/// fragments in its arena, and its next lives took arena after arena.
inline void bound_arenas() {
  ::mallopt(M_ARENA_MAX, std::max(2, static_cast<int>(std::thread::hardware_concurrency())));
}

/// Gives the pages of freed blocks back to the system. glibc keeps what a thread has freed in that thread's arena: the gigabytes of
/// an actor that computed on a thread of its own and died would stay behind, once a life. Takes milliseconds.
inline void give_back_freed_memory() { ::malloc_trim(0); }

} // namespace troupe

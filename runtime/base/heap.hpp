#pragma once

#include <malloc.h>

namespace troupe {

/// Gives the pages of freed blocks back to the system. glibc keeps what a thread has freed in that thread's arena: the gigabytes of
/// an actor that computed on a thread of its own and died would stay behind, once a life. Takes milliseconds.
inline void give_back_freed_memory() { ::malloc_trim(0); }

} // namespace troupe

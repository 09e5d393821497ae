#pragma once

namespace troupe::torch_detail {

/// Makes LibTorch's CPU tensors come from a pool that keeps freed blocks for the next step, aligned to 64
/// bytes. A training step frees and takes the same few hundred megabyte-sized blocks each time; giving them
/// back to the system costs a page fault per 4 KiB, 10-20 % of a step. Once per process; the rest of the
/// program keeps its own allocator.
void use_memory_pool();

} // namespace troupe::torch_detail

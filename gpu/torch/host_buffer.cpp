#include "gpu/torch/host_buffer.hpp"

#include <ATen/ops/empty.h>
#include <algorithm>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace troupe::torch_detail {

c10::Stream stream_of(at::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

at::Tensor host_buffer::room(std::int64_t numbers) {
  wait();
  if (!memory_.defined() || memory_.numel() < numbers) {
    const auto size = std::max(numbers, memory_.defined() ? 2 * memory_.numel() : std::int64_t{1024});
    memory_ = at::empty({size}, at::TensorOptions(type_).pinned_memory(!device_.is_cpu()));
  }
  return memory_.narrow(0, 0, numbers);
}

void host_buffer::mark() {
  if (device_.is_cpu()) return; // its copies are done when they return
  used_.emplace(device_.type());
  used_->record(stream_of(device_));
}

void host_buffer::wait() {
  if (!used_) return;
  used_->synchronize();
  used_.reset();
}

} // namespace troupe::torch_detail

#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <optional>

namespace troupe::torch_detail {

/// The stream that work for this device is launched on now.
c10::Stream stream_of(at::Device device);

/// Host memory that a device copies from or to while the host does something else: page-locked where the device is not the CPU itself.
/// Two of them, used by turns, are a double buffer.
///   BUF-1  The memory is not handed out again before the device is done with what `mark` saw.
class host_buffer {
public:
  host_buffer(at::Device device, at::ScalarType type) : device_(device), type_(type) {}

  /// Room for so many numbers, whatever they are. Waits for the device (BUF-1). Valid until the next call.
  at::Tensor room(std::int64_t numbers);
  /// The copies launched on the current stream up to now are the last use of that room.
  void mark();
  /// Until the device is done with what `mark` saw.
  void wait();

private:
  at::Device device_;
  at::ScalarType type_;
  at::Tensor memory_;
  std::optional<c10::Event> used_;
};

} // namespace troupe::torch_detail

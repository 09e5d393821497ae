#pragma once

#include "gpu/torch/host_buffer.hpp"
#include "gpu/torch/model.hpp"
#include <array>

namespace troupe::torch_detail {

/// Two page-locked pieces through which numbers go to a device: while one is on its way, the next is converted into the other.
using upload_buffers = std::array<host_buffer, 2>;
upload_buffers make_upload_buffers(at::Device device, at::ScalarType type);

/// The weights of a model where they are multiplied: matrices in `type`, norms and biases in float32. The memory is taken once, so that
/// recorded graphs find the next weights where those before were.
class device_weights {
public:
  device_weights(const model_config& config, const flat_layout& layout, at::ScalarType type,
                 at::Device device);

  /// Launches the copies on the current stream; float32 values are rounded to `type` on the host. Throws std::invalid_argument when a
  /// tensor is missing, misshapen or holds what is no number: then what is here has no meaning.
  void fill(const model_weights& from, const flat_layout& layout, upload_buffers& through);

  const model_parameters& parameters() const { return parameters_; }

private:
  at::Tensor matrices_, vectors_; ///< flat, by the layout's offsets and in its order
  model_parameters parameters_;
};

} // namespace troupe::torch_detail

#include "gpu/weight_matrix.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace troupe {

namespace {

/// Are all of them numbers? By their bits, so that compilers vectorise it.
bool all_finite(const float* x, std::size_t count) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, x + i, 4);
    most = std::max(most, bits & 0x7FFFFFFF);
  }
  return most < 0x7F800000;
}

/// Are all scales and minima of the blocks numbers? They come first in every block.
bool all_finite(const stored_tensor& tensor) {
  const auto layout = *ggml_layout_of(static_cast<std::uint32_t>(tensor.type));
  const int halves = tensor.type == ggml_type::q4_1 || tensor.type == ggml_type::q5_1 ? 2 : 1;
  for (std::size_t at = 0; at < tensor.data.size(); at += layout.bytes)
    for (int i = 0; i < halves; ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, tensor.data.data() + at + 2 * i, 2);
      if ((bits & 0x7C00) == 0x7C00) return false;
    }
  return true;
}

} // namespace

weight_matrix::weight_matrix(const model_weights& weights, const std::vector<std::string>& names,
                             arithmetic mode) {
  const auto refuse = [](const std::string& name) {
    throw std::invalid_argument("weights: " + name + " holds values that are no finite numbers");
  };
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto stored = weights.stored.find(names[i]);
    const bool is_stored = stored != weights.stored.end();
    const auto& shape = is_stored ? stored->second.shape : weights.tensors.at(names[i]).shape;
    const int rows = static_cast<int>(shape[0]);
    in_ = static_cast<int>(shape[1]);
    if (is_stored && can_stay_quantised(stored->second.type) && in_ % quantised_matrix::block == 0) {
      if (!all_finite(stored->second)) refuse(names[i]);
      parts_.emplace_back(quantised_panels(stored->second.type, {{stored->second.data, rows}}, in_));
    } else {
      host_tensor opened;
      if (is_stored) opened = as_float32(stored->second);
      const auto& values = is_stored ? opened.data : weights.tensors.at(names[i]).data;
      if (!all_finite(values.data(), values.size())) refuse(names[i]);
      if (mode == arithmetic::fast)
        parts_.emplace_back(quantised_panels(std::vector{values.data()}, {rows}, in_));
      else
        parts_.emplace_back(pack({values.data()}, {rows}, in_));
    }
    out_ += padded(rows);
  }
}

void weight_matrix::multiply(const matrix_input& in, int rows, int begin, int end, float* y,
                             std::ptrdiff_t y_stride, bool add, const kernel_set& kernels,
                             float* scratch) const {
  int first = 0; // panel of the part
  for (auto& part : parts_) {
    const auto* packed = std::get_if<packed_matrix>(&part);
    const auto* quantised = std::get_if<quantised_matrix>(&part);
    const int count = (packed ? packed->out : quantised->out) / lanes;
    const int from = std::max(begin - first, 0), to = std::min(end - first, count);
    float* out = y + std::ptrdiff_t{first} * lanes;
    first += count;
    if (from >= to) continue;
    if (packed)
      kernels.floats->multiply_panels(in.x, in.stride, rows,
                                      packed->data.data() + std::ptrdiff_t{from} * packed->in * lanes,
                                      packed->in, to - from, out + from * lanes, y_stride, add);
    else if (kernels.mode == arithmetic::fast)
      kernels.quantised->multiply_fast(*in.quantised, rows, *quantised, from, to, out, y_stride, add);
    else
      kernels.quantised->multiply_exact(in.x, in.stride, rows, *quantised, from, to, out, y_stride, add,
                                        scratch);
  }
}

} // namespace troupe

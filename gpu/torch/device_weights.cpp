#include "gpu/torch/device_weights.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <bit>
#include <stdexcept>

namespace troupe::torch_detail {

namespace {

constexpr std::int64_t piece = std::int64_t{4} << 20; // numbers on their way at once

bool is_vector(const flat_layout::part& part) { return part.shape.size() == 1; }

/// Without a way out in the middle, so that a compiler takes many at once: weights are billions of numbers.
bool all_finite(const std::vector<float>& values) {
  std::uint32_t odd = 0;
  for (const float x : values) {
    const auto exponent = std::bit_cast<std::uint32_t>(x) & 0x7f800000u;
    odd |= static_cast<std::uint32_t>(exponent == 0x7f800000u);
  }
  return odd == 0;
}

/// A tensor's float32 values; `opened` holds them where the file has another format.
const std::vector<float>& values_of(const model_weights& from, const flat_layout::part& part,
                                    host_tensor& opened) {
  const host_tensor* found = nullptr;
  if (const auto stored = from.stored.find(part.name); stored != from.stored.end())
    opened = as_float32(stored->second), found = &opened;
  else if (const auto dense = from.tensors.find(part.name); dense != from.tensors.end())
    found = &dense->second;
  if (!found) throw std::invalid_argument("weights lack " + part.name);
  if (found->shape != part.shape || static_cast<std::int64_t>(found->data.size()) != part.size)
    throw std::invalid_argument("weights: " + part.name + " has another shape than the config asks for");
  if (!all_finite(found->data))
    throw std::invalid_argument("weights: " + part.name + " holds values that are no finite numbers");
  return found->data;
}

} // namespace

upload_buffers make_upload_buffers(at::Device device, at::ScalarType type) {
  return {host_buffer(device, type), host_buffer(device, type)};
}

device_weights::device_weights(const model_config& config, const flat_layout& layout, at::ScalarType type,
                               at::Device device)
    : matrices_(at::empty({layout.total}, at::TensorOptions(type).device(device))) {
  std::int64_t numbers = 0;
  for (const auto& part : layout.parts)
    if (is_vector(part)) numbers += part.size;
  vectors_ = at::zeros({numbers}, at::TensorOptions(at::kFloat).device(device));
  std::int64_t used = 0;
  parameters_ = arrange_parameters(config, layout, [&](const flat_layout::matrix& m) {
    if (m.columns > 0) return matrices_.narrow(0, m.offset, m.rows * m.columns).view({m.rows, m.columns});
    const auto view = vectors_.narrow(0, used, m.rows);
    used += m.rows;
    return view;
  });
}

void device_weights::fill(const model_weights& from, const flat_layout& layout, upload_buffers& through) {
  std::int64_t used = 0;
  std::size_t turn = 0;
  for (const auto& part : layout.parts) {
    host_tensor opened;
    const auto& values = values_of(from, part, opened);
    auto host = at::from_blob(const_cast<float*>(values.data()), {part.size}, at::kFloat);
    if (is_vector(part)) { // small: a copy that waits
      vectors_.narrow(0, used, part.size).copy_(host);
      used += part.size;
      continue;
    }
    for (std::int64_t first = 0; first < part.size; first += piece) {
      const auto count = std::min(piece, part.size - first);
      auto& buffer = through[turn++ % through.size()];
      const auto room = buffer.room(count);
      room.copy_(host.narrow(0, first, count));
      matrices_.narrow(0, part.offset + first, count).copy_(room, true);
      buffer.mark();
    }
  }
}

} // namespace troupe::torch_detail

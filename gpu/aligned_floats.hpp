#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace troupe {

/// Zeroed float32 memory that starts at a cache line. Movable, not copyable.
class aligned_floats {
public:
  aligned_floats() = default;
  explicit aligned_floats(std::size_t size) : size_(size) {
    const auto bytes = (size * sizeof(float) + 63) / 64 * 64;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, std::max<std::size_t>(bytes, 64))));
    if (!data_) throw std::bad_alloc();
    std::fill_n(data_.get(), size, 0.0f);
  }

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

private:
  struct release {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, release> data_;
  std::size_t size_ = 0;
};

} // namespace troupe

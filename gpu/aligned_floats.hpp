#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <sys/mman.h>

namespace troupe {

/// Zeroed float32 memory that starts at a cache line; from 1 MiB on it asks for huge pages, as scattered
/// reads of a large cache are otherwise bound by address translation. Movable, not copyable.
class aligned_floats {
public:
  static constexpr std::size_t huge_page = std::size_t{2} << 20;

  aligned_floats() = default;
  explicit aligned_floats(std::size_t size) : size_(size) {
    const auto wanted = std::max<std::size_t>(size * sizeof(float), 1);
    const auto unit = wanted >= huge_page / 2 ? huge_page : 64;
    const auto bytes = (wanted + unit - 1) / unit * unit;
    data_.reset(static_cast<float*>(std::aligned_alloc(unit, bytes)));
    if (!data_) throw std::bad_alloc();
    if (unit == huge_page)
      ::madvise(data_.get(), bytes, MADV_HUGEPAGE); // a wish: without it all works the same
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

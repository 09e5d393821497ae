#include "gpu/torch/memory_pool.hpp"

#include <array>
#include <bit>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>

namespace troupe::torch_detail {

namespace {

constexpr std::size_t alignment = 64, most_kept = std::size_t{1} << 30;

/// Sizes are rounded up to 4, 5, 6 or 7 times a power of two, so that at most a quarter is wasted.
struct size_class {
  std::size_t index, bytes;
};
size_class class_of(std::size_t n) {
  n = n < 256 ? 256 : n;
  const auto shift = static_cast<std::size_t>(std::bit_width(n - 1)) - 3;
  const auto steps = ((n - 1) >> shift) + 1; // 5 .. 8
  return {shift * 4 + steps - 5, steps << shift};
}

class pool : public at::Allocator {
public:
  at::DataPtr allocate(std::size_t n) override {
    const auto [index, bytes] = class_of(n);
    void* block = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (auto& list = free_.at(index); !list.empty()) {
        block = list.back();
        list.pop_back();
        kept_ -= bytes;
      }
    }
    if (!block) block = std::aligned_alloc(alignment, bytes + alignment);
    if (!block) throw std::bad_alloc();
    *static_cast<std::size_t*>(block) = bytes;
    void* data = static_cast<char*>(block) + alignment;
    return {data, data, &give_back, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, std::size_t n) const override { std::memcpy(to, from, n); }

private:
  static void give_back(void* data);

  std::mutex mutex_;
  std::array<std::vector<void*>, 256> free_;
  std::size_t kept_ = 0;
};

pool& the_pool() {
  static pool& one = *new pool; // never destroyed: tensors may outlive every static
  return one;
}

void pool::give_back(void* data) {
  if (!data) return;
  void* block = static_cast<char*>(data) - alignment;
  const auto bytes = *static_cast<std::size_t*>(block);
  auto& self = the_pool();
  {
    std::lock_guard lock(self.mutex_);
    if (self.kept_ + bytes <= most_kept) {
      self.free_.at(class_of(bytes).index).push_back(block);
      self.kept_ += bytes;
      return;
    }
  }
  std::free(block);
}

} // namespace

void use_memory_pool() {
  static const bool once = (c10::SetCPUAllocator(&the_pool(), 10), true);
  (void)once;
}

} // namespace troupe::torch_detail

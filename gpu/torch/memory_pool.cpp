#include "gpu/torch/memory_pool.hpp"

#include <algorithm>
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

constexpr std::size_t alignment = 64;

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

/// Batches have other shapes at every step, and a pool that keeps a block of every size it ever saw only grows. So blocks in use and kept
/// are together never more than `slack` times what was in use at most; what goes first is of the size that was not asked for longest.
class pool : public at::Allocator {
public:
  at::DataPtr allocate(std::size_t n) override {
    const auto [index, bytes] = class_of(n);
    void* block = nullptr;
    std::vector<void*> old;
    {
      std::lock_guard lock(mutex_);
      auto& kind = kinds_.at(index);
      kind.asked = ++now_;
      kind.bytes = bytes;
      in_use_ += bytes;
      most_in_use_ = std::max(most_in_use_, in_use_);
      if (!kind.free.empty()) {
        block = kind.free.back();
        kind.free.pop_back();
        kept_ -= bytes;
      } else
        old = too_many();
    }
    for (void* one : old) std::free(one);
    if (!block) block = std::aligned_alloc(alignment, bytes + alignment);
    if (!block) throw std::bad_alloc();
    *static_cast<std::size_t*>(block) = bytes;
    void* data = static_cast<char*>(block) + alignment;
    return {data, data, &give_back, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, std::size_t n) const override { std::memcpy(to, from, n); }

private:
  static constexpr double slack = 1.2;
  struct kind {
    std::vector<void*> free;
    std::size_t bytes = 0;
    std::uint64_t asked = 0; ///< when last
  };
  static void give_back(void* data);

  /// Kept blocks to be freed so that the rest is within bounds.
  std::vector<void*> too_many() {
    std::vector<void*> out;
    while (kept_ > 0 && static_cast<double>(in_use_ + kept_) > slack * static_cast<double>(most_in_use_)) {
      kind* oldest = nullptr;
      for (auto& one : kinds_)
        if (!one.free.empty() && (!oldest || one.asked < oldest->asked)) oldest = &one;
      out.push_back(oldest->free.back());
      oldest->free.pop_back();
      kept_ -= oldest->bytes;
    }
    return out;
  }

  std::mutex mutex_;
  std::array<kind, 256> kinds_;
  std::size_t in_use_ = 0, most_in_use_ = 0, kept_ = 0; ///< bytes
  std::uint64_t now_ = 0;
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
  std::lock_guard lock(self.mutex_);
  self.in_use_ -= bytes;
  self.kept_ += bytes;
  self.kinds_.at(class_of(bytes).index).free.push_back(block);
}

} // namespace

void use_memory_pool() {
  static const bool once = (c10::SetCPUAllocator(&the_pool(), 10), true);
  (void)once;
}

} // namespace troupe::torch_detail

#pragma once

#include "runtime/base/clock.hpp"
#include <atomic>

namespace troupe {

/// A clock whose wall time can be set, as somebody at a console or a time server might. Its monotonic time is the other clock's: nothing
/// but what people read may notice. Thread-safe.
class jumping_clock final : public clock {
public:
  explicit jumping_clock(const clock& real) : real_(real) {}
  duration now() const override { return real_.now(); }
  duration wall() const override { return real_.wall() + duration(offset_.load()); }
  void jump(duration by) { offset_ += by.count(); }

private:
  const clock& real_;
  std::atomic<duration::rep> offset_{0};
};

} // namespace troupe

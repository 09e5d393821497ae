#include "runtime/base/clock.hpp"

#include <ctime>

namespace troupe {

namespace {
class machine_clock final : public clock {
public:
  duration now() const override { return std::chrono::steady_clock::now().time_since_epoch(); }
  duration wall() const override { return std::chrono::system_clock::now().time_since_epoch(); }
};
} // namespace

clock& system_clock() {
  static machine_clock it;
  return it;
}

duration thread_cpu() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

} // namespace troupe

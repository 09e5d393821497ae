#include "runtime/coarse_timers.hpp"

#include "runtime/system.hpp"

#include <atomic>
#include <gtest/gtest.h>

namespace troupe {
namespace {

using namespace std::chrono_literals;
using ring_atom = caf::atom_constant<caf::atom("ring")>;

struct sleeper {
  static constexpr const char* name = "sleeper";
  sleeper(self_ptr self, std::atomic<std::int64_t>& rang_after) : self_(self), rang_after_(&rang_after) {}
  behavior make_behavior() {
    const auto start = std::chrono::steady_clock::now();
    send_about(self_, 30ms, ring_atom::value);
    return {[this, start](ring_atom) { *rang_after_ = (std::chrono::steady_clock::now() - start).count(); }};
  }
  self_ptr self_;
  std::atomic<std::int64_t>* rang_after_;
};

TEST(ACoarseTimer, ComesNeverEarly) { // TIME-1
  auto node = node::start({.threads = 1});
  ASSERT_TRUE(node);
  std::atomic<std::int64_t> rang_after{0};
  auto who = spawn_state<sleeper>((*node)->system(), std::ref(rang_after));
  for (int i = 0; i < 1000 && rang_after == 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GE(rang_after, std::chrono::nanoseconds(30ms).count());
  who = nullptr;
  EXPECT_TRUE((*node)->stop());
}

struct patient {
  static constexpr const char* name = "patient";
  explicit patient(self_ptr self) : self_(self) {}
  behavior make_behavior() {
    send_about(self_, 24h, ring_atom::value);
    return {[](ring_atom) {}};
  }
  self_ptr self_;
};

TEST(ACoarseTimer, KeepsNobodyAlive) { // TIME-2
  auto node = node::start({.threads = 1});
  ASSERT_TRUE(node);
  spawn_state<patient>((*node)->system()); // nobody holds it: it ends when it waits
  EXPECT_TRUE((*node)->stop()) << "its timer holds it";
}

} // namespace
} // namespace troupe

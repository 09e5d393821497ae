#include "runtime/system.hpp"

#include "runtime/process_id.hpp"
#include <future>
#include <gtest/gtest.h>
#include <thread>

namespace {
using namespace troupe;
using namespace std::chrono_literals;

struct echo {
  static constexpr const char* name = "echo";
  explicit echo(self_ptr) {}
  behavior make_behavior() {
    return {[](const std::string& text) { return text; }};
  }
};
struct sleeper { // a handler that blocks, as a long kernel does
  static constexpr const char* name = "sleeper";
  sleeper(self_ptr, std::shared_future<void> until) : until_(std::move(until)) {}
  behavior make_behavior() {
    return {[this](const std::string&) { until_.wait(); }};
  }
  std::shared_future<void> until_;
};

child_spec child(const std::string& id, std::function<actor_ref(self_ptr)> start) {
  child_spec spec;
  spec.id = id;
  spec.start = std::move(start);
  spec.stop_deadline = 100ms;
  return spec;
}

TEST(ANode, RunsATreeAnswersFromOutsideAndStopsCleanly) { // NODE-2
  auto it = node::start({.threads = 2}).value();
  auto names = std::make_shared<directory>();
  supervisor_options options;
  options.names = names;
  auto root = it->supervise(options, {child("a", [](self_ptr s) { return spawn_state<echo>(s); }),
                                      child("b", [](self_ptr s) { return node::threads().spawn<echo>(s); })});
  ASSERT_TRUE((it->ask<std::vector<child_status>>(root, list_children{}, 5s)));
  EXPECT_EQ(it->ask<std::string>(names->find("a"), std::string("x"), 5s), "x");
  EXPECT_EQ(it->ask<std::string>(names->find("b"), std::string("y"), 5s), "y");
  EXPECT_FALSE(it->root_ended(0s));
  EXPECT_TRUE(it->stop());
  EXPECT_EQ(it->root_ended(0s)->message, "normal");
  EXPECT_FALSE(names->find("a"));
  EXPECT_TRUE(living_actors().empty());
}

TEST(ANode, RestartsAKilledChildOnRealThreads) {
  auto it = node::start({.threads = 2}).value();
  supervisor_options options;
  options.names = std::make_shared<directory>();
  options.intensity = 1000;
  options.backoff = {0ms, 0ms, 0ms, 0};
  auto root = it->supervise(options, {child("a", [](self_ptr s) { return spawn_state<echo>(s); })});
  ASSERT_TRUE((it->ask<std::vector<child_status>>(root, list_children{}, 5s)));
  for (int i = 0; i < 50; ++i) {
    auto old = options.names->find("a");
    kill(old);
    const auto end = std::chrono::steady_clock::now() + 5s;
    expected<std::string> got = fail(errc::unavailable, "not asked");
    while (!got && std::chrono::steady_clock::now() < end)
      if (auto now = options.names->find("a"); now && now != old)
        got = it->ask<std::string>(now, std::string("z"), 1s);
    ASSERT_EQ(got, "z");
  }
  EXPECT_TRUE(it->stop());
}

TEST(ANode, KnowsWhyItsRootGaveUp) {
  auto it = node::start({.threads = 1}).value();
  supervisor_options options;
  options.intensity = 0;
  options.names = std::make_shared<directory>();
  auto root = it->supervise(options, {child("a", [](self_ptr s) { return spawn_state<echo>(s); })});
  ASSERT_TRUE((it->ask<std::vector<child_status>>(root, list_children{}, 5s)));
  kill(options.names->find("a"));
  auto reason = it->root_ended(5s);
  ASSERT_TRUE(reason);
  EXPECT_EQ(reason->code, errc::exhausted);
  EXPECT_TRUE(it->stop());
}

TEST(ANode, WhoseActorNeverReturnsStopsInTimeAndNamesIt) { // NODE-2, NODE-3
  std::promise<void> release;
  const auto before = std::chrono::steady_clock::now();
  {
    auto it = node::start({.threads = 2, .stop_deadline = 300ms, .kill_deadline = 200ms}).value();
    supervisor_options options;
    options.names = std::make_shared<directory>();
    auto root = it->supervise(options, {child("s", [&](self_ptr s) {
                                return node::threads().spawn<sleeper>(s, release.get_future().share());
                              })});
    ASSERT_TRUE((it->ask<std::vector<child_status>>(root, list_children{}, 5s)));
    tell(options.names->find("s"), std::string("block"));
    std::this_thread::sleep_for(20ms);
    auto stopped = it->stop();
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, errc::timeout);
    EXPECT_NE(stopped.error().message.find("sleeper x1"), std::string::npos) << stopped.error().message;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - before, 2s);
  release.set_value();
  for (int i = 0; i < 500 && !living_actors().empty(); ++i) std::this_thread::sleep_for(10ms);
}

TEST(ANode, HasAnIdentityOfItsOwn) {
  auto it = node::start({.threads = 1, .network = true}).value();
  const auto identity = to_string(it->system().node()); // "host#process"
  EXPECT_EQ(identity.substr(identity.find('#') + 1), std::to_string(random_process_id()));
  EXPECT_TRUE(it->stop());
}

} // namespace

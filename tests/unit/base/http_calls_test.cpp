#include "runtime/base/http_calls.hpp"

#include <atomic>
#include <chrono>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// Says a number back, or keeps who asks waiting.
struct fixture {
  std::mutex guard;
  std::optional<http::responder> waiting;
  std::unique_ptr<http::server> server;
  fixture() {
    http::router routes;
    routes.add("GET", "/things/{id}", [](http::request& r, http::responder a) {
      a.send({200, r.params["id"]});
    });
    routes.add("GET", "/later", [this](http::request&, http::responder a) {
      std::scoped_lock lock(guard);
      waiting = std::move(a);
    });
    auto started = http::server::start({}, std::move(routes));
    if (!started) throw std::runtime_error(started.error().message);
    server = std::move(*started);
  }
  std::string url(const std::string& path) const { return server->url() + path; }
  bool asked() {
    std::scoped_lock lock(guard);
    return waiting.has_value();
  }
};

} // namespace

TEST(HttpCalls, RunAtOnceAndEndOnceEach) { // CALL-1
  fixture f;
  http::calls calls;
  std::map<http::calls::number, std::string> expected_of;
  for (int i = 0; i < 20; ++i)
    expected_of[calls.begin("GET", f.url("/things/" + std::to_string(i)), {}, {}, 5s)] = std::to_string(i);
  EXPECT_EQ(calls.open(), 20u);
  const auto late = calls.begin("GET", f.url("/later"), {}, {}, 100ms);
  const auto wrong = calls.begin("GET", "ftp://x", {}, {}, 5s);
  std::map<http::calls::number, int> times;
  for (const auto end = std::chrono::steady_clock::now() + 5s;
       times.size() < 22 && std::chrono::steady_clock::now() < end;)
    for (const auto& one : calls.wait(50ms)) {
      ++times[one.which];
      if (one.which == late)
        EXPECT_EQ(one.what.error().code, errc::timeout);
      else if (one.which == wrong)
        EXPECT_EQ(one.what.error().code, errc::invalid);
      else
        EXPECT_EQ(one.what ? one.what->body : one.what.error().message, expected_of[one.which]);
    }
  EXPECT_EQ(times.size(), 22u);
  EXPECT_EQ(calls.open(), 0u);
  EXPECT_TRUE(calls.wait(1ms).empty());
  for (const auto& [which, n] : times) EXPECT_EQ(n, 1) << which;
}

TEST(HttpCalls, ADroppedOneNeverEndsAndItsServerSeesThatItIsGone) { // CALL-2, HTTP-5
  fixture f;
  http::calls calls;
  const auto which = calls.begin("GET", f.url("/later"), {}, {}, 5s);
  std::atomic<bool> gone{false};
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (!f.asked() && std::chrono::steady_clock::now() < end) calls.wait(1ms);
  ASSERT_TRUE(f.asked());
  f.waiting->on_gone([&] { gone = true; });
  EXPECT_TRUE(calls.drop(which));
  EXPECT_FALSE(calls.drop(which));
  while (!gone && std::chrono::steady_clock::now() < end) EXPECT_TRUE(calls.wait(1ms).empty());
  EXPECT_TRUE(gone);
}

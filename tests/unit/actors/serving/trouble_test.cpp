// Clients that leave or do not read, queues that are full, engines that end.
#include "serving_fixture.hpp"

#include "actors/serving/serving_actor.hpp"
#include <gtest/gtest.h>

namespace troupe::serving {
namespace {

using namespace std::chrono_literals;

tiny_model long_talker() {
  tiny_model out;
  out.context = 4096;
  return out;
}

json::object long_text(json::object more = {}) {
  json::object out{{"max_tokens", 3000}, {"ignore_eos", true}};
  for (auto& [key, value] : more) out[key] = value;
  return completion("the cat", out);
}

TEST(AClientThatLeaves, HasItsSequenceFreedWithinAStep) { // SRV-2
  for (const bool stream : {true, false}) {
    serving_fixture f({}, long_talker());
    f.watch->step_delay_ms = 50;
    auto client = f.begin("/v1/completions", long_text({{"stream", stream}}));
    ASSERT_TRUE(f.until([&] { return f.watch->active == 1 && f.watch->steps > 3; }));
    const auto before = f.watch->steps.load();
    client->close();
    ASSERT_TRUE(f.until([&] { return f.watch->active == 0; }));
    EXPECT_EQ(f.watch->cancels, 1);
    EXPECT_LE(f.watch->steps, before + 3) << "the one in progress, and one while the news of it travels";
    EXPECT_EQ(f.post("/v1/completions", completion("still fine")).status, 200);
  }
}

TEST(AClientThatDoesNotRead, IsCutOffWhenTooMuchWaitsForIt) {
  serving_fixture f(
      [](serving_context& ctx) {
        ctx.options.stream_limit = 20000;
        ctx.options.send_buffer = 4096;
      },
      long_talker());
  auto client =
      f.begin("/v1/completions", long_text({{"stream", true}, {"logprobs", 20}, {"return_token_ids", true}}));
  ASSERT_TRUE(f.until([&] { return f.watch->cancels == 1; }, "", 60s)) << "it ran to its end";
  EXPECT_EQ(f.watch->active, 0);
  const auto came = client->read_all(2000);
  EXPECT_TRUE(came.find("slow_client") != std::string::npos || !came.ends_with("0\r\n\r\n"))
      << "it is told why, or sees that the stream is not whole";
  EXPECT_LT(came.size(), 1u << 20);
}

TEST(AFullQueue, RefusesAndSaysWhenToComeAgain) {
  serving_fixture f([](serving_context& ctx) { ctx.options.max_queue = 3; }, long_talker());
  ASSERT_EQ(f.order("POST", "/pause?mode=keep").status, 200);
  std::vector<std::unique_ptr<raw_client>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(f.begin("/v1/completions", completion("the cat")));
  const auto open = [&] {
    const auto now =
        f.nodes->ask<serving_status>(f.ctx->run->names->find(serving_name), serving_status_request{}, 5s);
    return now ? now->open : 0;
  };
  ASSERT_TRUE(f.until([&] { return open() == 3; }));
  const auto got = f.post("/v1/completions", completion("one more"));
  EXPECT_EQ(got.status, 429);
  EXPECT_EQ(http::header_of(got.headers, "Retry-After"), "2");
  EXPECT_EQ(json::parse(got.body)->at("error").at("code").as_string(), "queue_full");
  ASSERT_EQ(f.order("POST", "/resume").status, 200);
  for (auto& one : waiting) EXPECT_NE(one->read_until("}\n").find(" 200 "), std::string::npos);
  EXPECT_EQ(f.post("/v1/completions", completion("one more")).status, 200);
}

TEST(ARequest, FailsAtItsDeadline) { // SRV-1
  serving_fixture f([](serving_context& ctx) { ctx.options.request_deadline = 400ms; }, long_talker());
  f.watch->step_delay_ms = 20;
  const auto got = f.post("/v1/completions", long_text());
  EXPECT_EQ(got.status, 504);
  EXPECT_EQ(json::parse(got.body)->at("error").at("code").as_string(), "timeout");
  const auto streamed = f.stream("/v1/completions", long_text());
  ASSERT_FALSE(streamed.empty());
  EXPECT_EQ(streamed.back().at("error").at("code").as_string(), "timeout");
  EXPECT_TRUE(f.until([&] { return f.watch->active == 0; }));
}

TEST(AnEngineThatEnds, IsReplacedAndItsRequestsGoOnWithTheSameTokens) { // SRV-3
  serving_fixture f({}, long_talker());
  const json::object more{{"max_tokens", 150}, {"return_token_ids", true}, {"ignore_eos", true}, {"n", 2}};
  const auto calm = f.answer("/v1/completions", completion("the frog", more));
  f.watch->step_delay_ms = 5;
  std::vector<json::object> chunks;
  std::jthread client([&] { chunks = f.stream("/v1/completions", completion("the frog", more)); });
  for (int life = 2; life <= 3; ++life) {
    ASSERT_TRUE(f.until([&] { return f.watch->lives == life - 1 && f.watch->active == 2; }));
    std::this_thread::sleep_for(100ms);
    tell(f.ctx->run->names->find(troupe::names::engine), inject_throw{"a test"});
    ASSERT_TRUE(f.until([&] { return f.watch->lives == life; }));
  }
  client.join();
  std::map<std::int64_t, json::array> ids;
  std::map<std::int64_t, std::string> text;
  for (const auto& chunk : chunks) {
    ASSERT_FALSE(chunk.contains("error")) << json::dump(chunk);
    const auto& one = first_choice(chunk);
    for (const auto& id : one.at("token_ids").as_array()) ids[one.at("index").as_int64()].push_back(id);
    text[one.at("index").as_int64()] += one.at("text").as_string();
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& one = calm.at("choices").as_array()[i].as_object();
    EXPECT_EQ(ids[static_cast<std::int64_t>(i)], one.at("token_ids").as_array());
    EXPECT_EQ(text[static_cast<std::int64_t>(i)], one.at("text").as_string());
  }
  EXPECT_NE(f.get("/metrics").body.find("troupe_serving_resumed_total"), std::string::npos);
}

TEST(AnEngineThatEndsEachTime, FailsTheRequestWithItsReason) { // SRV-3
  serving_fixture f([](serving_context& ctx) { ctx.options.most_lives = 2; }, long_talker());
  f.watch->dies = true;
  const auto got = f.post("/v1/completions", completion("the cat"));
  EXPECT_EQ(got.status, 503);
  EXPECT_EQ(json::parse(got.body)->at("error").at("code").as_string(), "engine_failed");
  f.watch->dies = false;
  EXPECT_TRUE(f.until([&] { return f.post("/v1/completions", completion("the cat")).status == 200; }));
}

TEST(AnEngineThatHangs, IsReplacedToo) {
  serving_fixture f([](serving_context& ctx) { ctx.options.engine_patience = 500ms; }, long_talker());
  const json::object more{{"max_tokens", 150}, {"return_token_ids", true}, {"ignore_eos", true}};
  const auto calm = f.answer("/v1/completions", completion("the frog", more));
  tell(f.ctx->run->names->find(troupe::names::engine), inject_stall{});
  const auto got = f.answer("/v1/completions", completion("the frog", more));
  EXPECT_EQ(f.watch->lives, 2);
  EXPECT_EQ(first_choice(got).at("token_ids"), first_choice(calm).at("token_ids"));
}

TEST(AServingActorThatEnds, FailsItsRequestsAndLeavesNothingInTheEngine) { // SRV-1
  serving_fixture f({}, long_talker());
  f.watch->step_delay_ms = 10;
  auto client = f.begin("/v1/completions", long_text());
  ASSERT_TRUE(f.until([&] { return f.watch->active == 1; }));
  tell(f.ctx->run->names->find(serving_name), inject_throw{"a test"});
  EXPECT_NE(client->read_until("}\n").find(" 503 "), std::string::npos);
  EXPECT_TRUE(f.until([&] { return f.watch->active == 0; }));
  EXPECT_TRUE(f.until([&] { return f.post("/v1/completions", completion("still fine")).status == 200; }));
}

} // namespace
} // namespace troupe::serving

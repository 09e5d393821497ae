// Pause, new weights, metrics.
#include "serving_fixture.hpp"

#include <cstdio>
#include <fstream>
#include <gtest/gtest.h>

namespace troupe::serving {
namespace {

using namespace std::chrono_literals;

tiny_model long_talker() {
  tiny_model out;
  out.context = 4096;
  return out;
}

bool paused(const serving_fixture& f) {
  return json::parse(f.order("GET", "/is_paused").body)->at("is_paused").as_bool();
}

TEST(APause, KeepsWhatRunsAndGoesOnWithTheSameTokens) {
  serving_fixture f({}, long_talker());
  const auto body =
      completion("the dog", {{"max_tokens", 200}, {"return_token_ids", true}, {"ignore_eos", true}});
  const auto calm = f.answer("/v1/completions", body);
  f.watch->step_delay_ms = 3;
  json::object got;
  std::jthread client([&] { got = f.answer("/v1/completions", body); });
  ASSERT_TRUE(f.until([&] { return f.watch->active == 1; }));
  EXPECT_EQ(f.order("POST", "/pause?mode=keep").status, 200);
  EXPECT_TRUE(paused(f));
  const auto steps = f.watch->steps.load();
  std::this_thread::sleep_for(100ms);
  EXPECT_LE(f.watch->steps, steps + 1);
  EXPECT_EQ(f.order("POST", "/resume").status, 200);
  EXPECT_FALSE(paused(f));
  client.join();
  EXPECT_EQ(first_choice(got).at("token_ids"), first_choice(calm).at("token_ids"));
}

TEST(APause, OutlivesTheActors) {
  serving_fixture f({}, long_talker());
  EXPECT_EQ(f.order("POST", "/pause?mode=keep").status, 200);
  tell(f.ctx->run->names->find(serving_name), inject_throw{"a test"});
  tell(f.ctx->run->names->find(troupe::names::engine), inject_throw{"a test"});
  ASSERT_TRUE(f.until([&] { return f.watch->lives == 2 && f.order("GET", "/is_paused").status == 200; }));
  EXPECT_TRUE(paused(f));
  std::atomic<int> status = 0;
  std::jthread client([&] { status = f.post("/v1/completions", completion("the cat")).status; });
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(f.order("POST", "/resume").status, 200);
  client.join();
  EXPECT_EQ(status, 200);
}

TEST(APause, WaitsForWhatRunsAndHoldsWhatComes) {
  serving_fixture f({}, long_talker());
  f.watch->step_delay_ms = 5;
  std::atomic<int> first = 0, second = 0;
  std::jthread one([&] {
    first =
        f.post("/v1/completions", completion("the dog", {{"max_tokens", 60}, {"ignore_eos", true}})).status;
  });
  ASSERT_TRUE(f.until([&] { return f.watch->active == 1; }));
  EXPECT_EQ(f.order("POST", "/pause?mode=wait").status, 200);
  EXPECT_EQ(f.watch->active, 0);
  one.join();
  EXPECT_EQ(first, 200);
  std::jthread two([&] { second = f.post("/v1/completions", completion("the cat")).status; });
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(second, 0);
  EXPECT_NE(f.get("/metrics").body.find("vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} 1"),
            std::string::npos);
  EXPECT_EQ(f.order("POST", "/resume").status, 200);
  two.join();
  EXPECT_EQ(second, 200);
}

TEST(APause, AbortsWhatRuns) {
  serving_fixture f({}, long_talker());
  f.watch->step_delay_ms = 5;
  json::object got;
  std::jthread client([&] {
    got = f.answer("/v1/completions", completion("the dog", {{"max_tokens", 3000}, {"ignore_eos", true}}));
  });
  ASSERT_TRUE(f.until([&] { return f.watch->active == 1 && f.watch->steps > 5; }));
  EXPECT_EQ(f.order("POST", "/pause").status, 200);
  client.join();
  EXPECT_EQ(first_choice(got).at("finish_reason").as_string(), "abort");
  EXPECT_GT(got.at("usage").at("completion_tokens").to_number<int>(), 0);
  EXPECT_EQ(f.watch->active, 0);
  EXPECT_EQ(f.order("POST", "/pause?mode=gently").status, 400);
  EXPECT_EQ(f.order("POST", "/resume").status, 200);
  EXPECT_EQ(f.post("/v1/completions", completion("still fine")).status, 200);
}

TEST(NewWeights, AreSwappedInBetweenTwoTokens) {
  serving_fixture f({}, long_talker());
  tiny_model other = long_talker();
  other.seed = 2;
  other.save(f.place.path / "other");
  const auto path = (f.place.path / "other").string();
  f.watch->step_delay_ms = 5;
  json::object got;
  std::jthread client([&] {
    got = f.answer(
        "/v1/completions",
        completion("the dog", {{"max_tokens", 300}, {"ignore_eos", true}, {"return_token_ids", true}}));
  });
  ASSERT_TRUE(f.until([&] { return f.watch->active == 1 && f.watch->steps > 20; }));
  const auto told = f.order("POST", "/update_weights_from_disk",
                            json::dump(json::object{{"model_path", path}, {"weight_version", "5"}}));
  EXPECT_EQ(told.status, 200) << told.body;
  EXPECT_EQ(json::parse(f.order("GET", "/weight_info").body)->at("weight_version").as_string(), "5");
  client.join();
  const auto& versions = first_choice(got).at("weight_versions").as_array();
  EXPECT_EQ(versions[0].to_number<int>(), 0);
  EXPECT_EQ(versions[299].to_number<int>(), 5);

  // an engine that starts now has them, too
  const auto with = f.answer("/v1/completions", completion("the cat", {{"return_token_ids", true}}));
  tell(f.ctx->run->names->find(troupe::names::engine), inject_throw{"a test"});
  ASSERT_TRUE(f.until([&] { return f.watch->lives == 2; }));
  ASSERT_TRUE(f.until([&] { return f.get("/health").status == 200; }));
  const auto again = f.answer("/v1/completions", completion("the cat", {{"return_token_ids", true}}));
  EXPECT_EQ(first_choice(again).at("token_ids"), first_choice(with).at("token_ids"));
  EXPECT_EQ(first_choice(again).at("weight_versions").as_array()[0].to_number<int>(), 5);

  const auto update = [&](const json::object& body) {
    return f.order("POST", "/update_weights_from_disk", json::dump(body)).status;
  };
  EXPECT_EQ(update({{"model_path", "nowhere"}}), 404);
  EXPECT_EQ(update({{"model_path", 5}}), 400);
  EXPECT_EQ(update({{"model_path", path}, {"weight_version", 5}}), 400);
  tiny_model wider;
  wider.save(f.place.path / "wider");
  EXPECT_EQ(update({{"model_path", (f.place.path / "wider").string()}}), 400) << "another context";
}

TEST(Metrics, HaveTheNamesOfVllm) {
  serving_fixture f;
  f.answer("/v1/completions", completion("the dog"));
  f.post("/v1/completions", {{"prompt", 5}});
  const auto got = f.get("/metrics");
  EXPECT_EQ(got.status, 200);
  const std::string labels = "{engine=\"0\",model_name=\"tiny\"}";
  for (const std::string& line : std::vector<std::string>{
           "vllm:num_requests_running" + labels + " 0", "vllm:num_requests_waiting" + labels + " 0",
           "vllm:generation_tokens_total" + labels + " 12", "vllm:kv_cache_usage_perc" + labels,
           "vllm:time_to_first_token_seconds_count" + labels + " 1",
           "vllm:inter_token_latency_seconds_count" + labels + " 11",
           "vllm:e2e_request_latency_seconds_count" + labels + " 1",
           std::string(
               "vllm:request_success_total{engine=\"0\",finished_reason=\"length\",model_name=\"tiny\"} 1"),
           std::string("troupe_serving_refused_total{engine=\"0\",model_name=\"tiny\",status=\"400\"} 1")})
    EXPECT_NE(got.body.find(line), std::string::npos) << line << "\n" << got.body;
}

/// promtool finds fault with the colon in vLLM's names, and with nothing else.
TEST(Metrics, PassPromtoolButForTheColon) {
  if (std::system("promtool --version >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "promtool is not here (./troupe test fetches it)";
  serving_fixture f;
  f.answer("/v1/completions", completion("the dog"));
  auto text = f.get("/metrics").body;
  for (std::size_t at = 0; (at = text.find("vllm:", at)) != text.npos;) text[at + 4] = '_';
  const auto file = f.place.path / "metrics.txt";
  std::ofstream(file) << text;
  EXPECT_EQ(std::system(("promtool check metrics < " + file.string()).c_str()), 0);
}

} // namespace
} // namespace troupe::serving

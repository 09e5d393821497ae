#include "gpu/remote/remote_engine.hpp"

#include "gpu/remote/server_dialect.hpp"
#include "runtime/base/http.hpp"
#include "tests/unit/folder.hpp"
#include "tests/unit/gpu/turns_of.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <mutex>
#include <set>
#include <thread>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

model_config shape() {
  model_config c;
  c.vocab_size = 50, c.hidden_size = 16, c.num_hidden_layers = 1, c.num_attention_heads = 2;
  c.num_key_value_heads = 2, c.head_dim = 8, c.intermediate_size = 16, c.max_position_embeddings = 64;
  return c;
}

weights_ptr weights(std::uint64_t seed) {
  return std::make_shared<const model_weights>(initial_weights(shape(), seed));
}

/// A server whose every answer a test decides. Completions have two tokens: the length of the prompt, and 7.
class scripted_server {
public:
  scripted_server() { start(); }
  void start() {
    http::router routes;
    routes.add("POST", "/v1/completions", [this](http::request& asked, http::responder answer) {
      std::scoped_lock lock(guard_);
      prompts.push_back(asked.json.at("prompt").as_array().size());
      if (paused) ++while_paused;
      if (hold) return held_.push_back({prompts.back(), std::move(answer)});
      if (!statuses.empty()) {
        const int status = statuses.front();
        statuses.pop_front();
        return (void)answer.send(
            http::json_response(status, json::object{{"error", json::object{{"message", "no"}}}}));
      }
      answer.send(http::json_response(200, completion(prompts.back())));
    });
    routes.add("GET", "/weight_info", [this](http::request&, http::responder answer) {
      std::scoped_lock lock(guard_);
      answer.send(http::json_response(200, json::object{{"weight_version", std::to_string(label)}}));
    });
    routes.add("POST", "/pause", [this](http::request& asked, http::responder answer) {
      std::scoped_lock lock(guard_);
      EXPECT_EQ(*asked.query_value("mode"), "keep");
      paused = true;
      answer.send(http::json_response(200, json::object{}));
    });
    routes.add("POST", "/resume", [this](http::request&, http::responder answer) {
      std::scoped_lock lock(guard_);
      paused = false;
      answer.send(http::json_response(200, json::object{}));
    });
    routes.add("POST", "/update_weights_from_disk", [this](http::request& asked, http::responder answer) {
      std::scoped_lock lock(guard_);
      const auto given = std::stoull(std::string(asked.json.at("weight_version").as_string()));
      EXPECT_TRUE(paused);
      EXPECT_GT(given, label);
      EXPECT_TRUE(std::filesystem::exists(
          std::filesystem::path(asked.json.at("model_path").as_string().c_str()) / "model.safetensors"));
      label = given;
      ++updates;
      if (die_after_update) return; // it took them, and says 503
      answer.send(http::json_response(200, json::object{}));
    });
    http::server_options options;
    options.port = port;
    options.answer_deadline = 150ms;
    server_ = std::move(*http::server::start(options, std::move(routes)));
    port = server_->port();
  }
  void stop() { server_.reset(); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port); }

  json::object completion(std::size_t prompt) const {
    return {{"choices", json::array{json::object{
                            {"finish_reason", "length"},
                            {"token_ids", json::array{prompt, 7}},
                            {"weight_versions", json::array{label, label}},
                            {"logprobs", json::object{{"token_logprobs", json::array{-0.25, -0.5}}}}}}}};
  }
  void release(std::uint64_t as = 0) {
    std::scoped_lock lock(guard_);
    if (as) label = as;
    for (auto& [prompt, answer] : held_) answer.send(http::json_response(200, completion(prompt)));
    held_.clear();
  }
  std::size_t held() {
    std::scoped_lock lock(guard_);
    return held_.size();
  }
  template <class What>
  auto with(What what) {
    std::scoped_lock lock(guard_);
    return what();
  }

  std::vector<std::size_t> prompts; ///< lengths, as asked for
  std::deque<int> statuses;         ///< of the next completions
  bool hold = false, paused = false, die_after_update = false;
  std::uint64_t label = 0;
  int updates = 0, while_paused = 0;
  std::uint16_t port = 0;

private:
  std::mutex guard_;
  std::vector<std::pair<std::size_t, http::responder>> held_;
  std::unique_ptr<http::server> server_;
};

struct ARemoteEngineCore : testing::Test {
  test_folder place;
  scripted_server server;
  std::vector<std::string> said;
  std::unique_ptr<engine_core> engine;

  remote_options options() {
    remote_options out;
    out.url = server.url(), out.model = "m", out.vocabulary = 50, out.context = 64, out.max_open = 3;
    out.weights = place.path / "engine";
    out.nonce = 5;
    out.answer_deadline = 2s, out.control_deadline = 2s, out.first_pause = 5ms, out.longest_pause = 20ms;
    out.on_change = [this](bool away, const std::string& why) {
      said.push_back(away ? "away: " + why : "ready");
    };
    return out;
  }
  void SetUp() override {
    engine = make_remote_engine(options());
    engine->set_weights(weights(1), 4, kv_policy::recompute);
  }
  static generate_request ask(std::uint64_t sequence, int length, int priority = 0) {
    generate_request out;
    out.sequence = sequence, out.max_new_tokens = 2, out.priority = priority, out.stream = true;
    out.context.assign(static_cast<std::size_t>(length), 1);
    return out;
  }
  /// Steps until so many turns have come out, or it takes too long.
  std::vector<generated> turns(std::size_t count, const std::function<void()>& meanwhile = {}) {
    return tests::turns_of(*engine, count, 10s, meanwhile);
  }
};

} // namespace

TEST_F(ARemoteEngineCore, TellsTokensLogprobsVersionsAndNews) { // ENG-3
  ASSERT_TRUE(engine->submit(ask(9, 12)));
  std::vector<generated> out;
  std::vector<token_news> news;
  for (int i = 0; i < 1000 && out.empty(); ++i) engine->step(out, &news);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].tokens, (std::vector<token>{12, 7}));
  EXPECT_EQ(out[0].logprobs, (std::vector<float>{-0.25f, -0.5f}));
  EXPECT_EQ(out[0].versions, (std::vector<std::uint64_t>{4, 4}));
  EXPECT_EQ(out[0].reason, finish_reason::length);
  ASSERT_EQ(news.size(), 2u);
  EXPECT_EQ(news[1].index, 1u);
  EXPECT_EQ(server.updates, 1);
  EXPECT_FALSE(server.paused);
  EXPECT_EQ(said, std::vector<std::string>{"ready"});
}

TEST_F(ARemoteEngineCore, HasEveryTurnComeOutOnceHoweverOftenItIsRefused) { // REM-1
  server.statuses = {503, 504, 429, 500, 503};
  for (std::uint64_t i = 1; i <= 12; ++i) ASSERT_TRUE(engine->submit(ask(i, static_cast<int>(i))));
  std::set<std::uint64_t> seen;
  for (const auto& turn : turns(12)) {
    seen.insert(turn.sequence);
    EXPECT_EQ(turn.tokens.front(), static_cast<token>(turn.sequence)) << "another turn's answer";
  }
  EXPECT_EQ(seen.size(), 12u);
  EXPECT_EQ(server.updates, 1) << "the server had this run's weights all the time";
  EXPECT_EQ(said.back(), "ready");
}

TEST_F(ARemoteEngineCore, WaitsForAServerThatIsGoneAndGivesItTheWeightsAgain) { // REM-1, REM-2
  ASSERT_TRUE(engine->submit(ask(1, 3)));
  turns(1);
  server.hold = true;
  ASSERT_TRUE(engine->submit(ask(2, 5)));
  std::vector<generated> out;
  for (int i = 0; i < 2000 && server.held() == 0; ++i) engine->step(out);
  server.stop(); // in the middle of a turn
  ASSERT_TRUE(engine->submit(ask(3, 6)));
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(engine->step(out));
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(said.size(), 2u);
  EXPECT_NE(said.back().find("away"), std::string::npos);
  server.label = 0; // it begins anew, with weights of its own
  server.hold = false;
  server.start();
  std::set<token> firsts;
  for (const auto& turn : turns(2)) firsts.insert(turn.tokens.front());
  EXPECT_EQ(firsts, (std::set<token>{5, 6}));
  EXPECT_EQ(server.updates, 2);
  EXPECT_EQ(said.back(), "ready");
}

TEST_F(ARemoteEngineCore, ThrowsAwayWhatOtherWeightsSampled) { // REM-2
  server.hold = true;
  ASSERT_TRUE(engine->submit(ask(1, 3)));
  bool once = false;
  const auto out = turns(1, [&] {
    if (once || server.held() == 0) return;
    once = true;
    server.with([&] { server.hold = false; });
    server.release(0xdead0000beef); // somebody gave it others
  });
  EXPECT_TRUE(once);
  ASSERT_FALSE(out.empty());
  EXPECT_EQ(out[0].versions.front(), 4u);
  EXPECT_EQ(server.updates, 2);
  EXPECT_EQ(server.prompts.size(), 2u);
}

TEST_F(ARemoteEngineCore, BeginsATurnWithTheNewestWeightsAndAsksAgainWhenTheyGoBack) { // REM-3
  ASSERT_TRUE(engine->submit(ask(1, 3)));
  EXPECT_EQ(turns(1)[0].versions.back(), 4u);
  engine->set_weights(weights(2), 5, kv_policy::recompute);
  ASSERT_TRUE(engine->submit(ask(2, 3)));
  EXPECT_EQ(turns(1)[0].versions.front(), 5u);
  server.hold = true;
  ASSERT_TRUE(engine->submit(ask(3, 3)));
  bool once = false;
  const auto out = turns(1, [&] {
    if (once || server.held() == 0) return;
    once = true;
    engine->set_weights(weights(1), 4, kv_policy::recompute);
    server.with([&] { server.hold = false; });
    server.release(); // the answer of the undone weights is on its way
  });
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].versions.front(), 4u);
  EXPECT_EQ(server.updates, 3);
}

TEST_F(ARemoteEngineCore, ResumesAServerThatTookTheWeightsAndDidNotSaySo) { // REM-5
  server.die_after_update = true;
  ASSERT_TRUE(engine->submit(ask(1, 3)));
  turns(1, [&] { server.with([&] { server.die_after_update = server.updates == 0; }); });
  EXPECT_EQ(server.updates, 1) << "it has them";
  EXPECT_FALSE(server.paused);
  EXPECT_EQ(server.while_paused, 0);

  server.die_after_update = true;
  engine->set_weights(weights(2), 5, kv_policy::recompute);
  ASSERT_TRUE(engine->submit(ask(2, 3)));
  std::vector<generated> out;
  for (int i = 0; i < 2000 && !server.with([&] { return server.paused; }); ++i) engine->step(out);
  ASSERT_TRUE(server.paused);
  engine.reset();
  EXPECT_FALSE(server.paused);
}

TEST_F(ARemoteEngineCore, AsksByPriorityAndForNoMoreThanItsPlaces) {
  server.hold = true;
  for (std::uint64_t i = 1; i <= 5; ++i)
    ASSERT_TRUE(engine->submit(ask(i, static_cast<int>(i), 10 - static_cast<int>(i))));
  std::vector<generated> out;
  for (int i = 0; i < 2000 && server.held() < 3; ++i) engine->step(out);
  for (int i = 0; i < 10; ++i) engine->step(out);
  EXPECT_EQ(server.held(), 3u);
  auto asked = server.with([&] { return server.prompts; });
  std::sort(asked.begin(), asked.end());
  EXPECT_EQ(asked, (std::vector<std::size_t>{3, 4, 5}));
  EXPECT_EQ(engine->stats().active, 3);
  EXPECT_EQ(engine->stats().waiting, 2);
  EXPECT_TRUE(engine->cancel(5));
  EXPECT_FALSE(engine->cancel(5));
  EXPECT_FALSE(engine->submit(ask(4, 4)));
  server.with([&] { server.hold = false; });
  server.release();
  for (const auto& turn : turns(4)) EXPECT_NE(turn.sequence, 5u);
}

TEST_F(ARemoteEngineCore, EndsWithASentenceAboutWhatItCannotMend) { // REM-4
  const auto ends = [&](const std::string& words) {
    auto fresh = make_remote_engine(options());
    fresh->set_weights(weights(1), 0, kv_policy::recompute);
    EXPECT_TRUE(fresh->submit(ask(1, 3)));
    std::vector<generated> out;
    try {
      for (int i = 0; i < 2000 && out.empty(); ++i) fresh->step(out);
      ADD_FAILURE() << "it went on, expected: " << words;
    } catch (const std::exception& why) {
      EXPECT_NE(std::string(why.what()).find(words), std::string::npos) << why.what();
      EXPECT_NE(std::string(why.what()).find(server.url()), std::string::npos) << why.what();
    }
    fresh.reset();
    EXPECT_FALSE(server.paused);
  };
  server.statuses = {401};
  ends("401 Unauthorized: no");
}

namespace {

json::object whole() {
  return {{"finish_reason", "stop"},
          {"token_ids", json::array{3, 9}},
          {"weight_versions", json::array{1, 2}},
          {"logprobs", json::object{{"token_logprobs", json::array{-0.25, -0.5}}}}};
}
json::value answer(json::object choice) { return json::object{{"choices", json::array{std::move(choice)}}}; }
generate_request asked() {
  generate_request out;
  out.sequence = 1, out.context = {1}, out.max_new_tokens = 2, out.stop = {9};
  return out;
}

} // namespace

TEST(ACompletion, IsReadWholeOrRefusedByWhatIsFoundInIt) { // REM-4
  const auto fine = remote::troupe_dialect().read_completion(answer(whole()), asked(), 10);
  ASSERT_TRUE(fine) << fine.error().message;
  EXPECT_EQ(fine->labels, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(fine->reason, finish_reason::stop);
  const auto refused = [](json::object choice, const std::string& words) {
    const auto got = remote::troupe_dialect().read_completion(answer(std::move(choice)), asked(), 10);
    ASSERT_FALSE(got) << words;
    EXPECT_NE(got.error().message.find(words), std::string::npos) << got.error().message;
  };
  const auto with = [](const char* key, json::value what) {
    auto out = whole();
    out[key] = std::move(what);
    return out;
  };
  refused(with("token_ids", nullptr), "\"token_ids\" is null in the choice, expected an array");
  refused(with("logprobs", nullptr), "\"logprobs\" is null in the choice, expected an object");
  refused(with("logprobs", json::object{{"content", json::array()}}), "there is no \"token_logprobs\"");
  refused(with("weight_versions", "3"), "\"weight_versions\" is string");
  refused(with("token_ids", json::array{3}), "1 token ids, 2 logprobs and 2 weight versions");
  refused(with("token_ids", json::array{10, 9}), "the token 10, expected 0 to 9");
  refused(with("token_ids", json::array{9, 3}), "ends with \"stop\" after the token 3");
  refused(with("logprobs", json::object{{"token_logprobs", json::array{nullptr, -0.5}}}), "the logprob null");
  refused(with("weight_versions", json::array{-1, 2}), "the weight version -1");
  refused(with("finish_reason", "error"), "the finish_reason \"error\"");
  auto longer = asked();
  longer.max_new_tokens = 1;
  EXPECT_FALSE(remote::troupe_dialect().read_completion(answer(whole()), longer, 10));
  const auto paused =
      remote::troupe_dialect().read_completion(answer(with("finish_reason", "abort")), asked(), 10);
  ASSERT_TRUE(paused);
  EXPECT_FALSE(paused->reason);
}

// A run whose engine is a server in another process: ours, on loopback.
#include "runtime/base/file.hpp"
#include "runtime/base/http.hpp"
#include "tests/system/process.hpp"
#include "tests/system/tiny_chat_model.hpp"

#include <algorithm>
#include <csignal>
#include <gtest/gtest.h>
#include <optional>
#include <thread>

using namespace std::chrono_literals;
using namespace troupe;
using tests::expect_balanced;
using tests::process;
using tests::scratch;
using tests::trained;
using tests::words_of_tokenizer;
using tests::write_model;

namespace {

namespace fs = std::filesystem;

/// `troupe serve` of a model; it may be killed and begun again at the same port.
struct server {
  const scratch& place;
  std::string port = "0";
  std::optional<process> program;

  explicit server(const scratch& in) : place(in) { start(); }
  void start() {
    program.emplace(process::troupe({"serve", "--model", "model", "--port", port, "--threads", "1",
                                     "--admin-key", "secret", "--api-key", "secret"},
                                    place.path()));
    if (!program->says("/v1\n", 60s)) throw std::runtime_error(program->err());
    const auto said = program->err();
    const auto at = said.find("http://127.0.0.1:") + 17;
    port = said.substr(at, said.find("/v1\n", at) - at);
  }
  void kill() {
    program->signal(SIGKILL);
    program->wait(10s);
  }
  std::string url() const { return "http://127.0.0.1:" + port; }
};

constexpr int last_step = 8;

std::vector<std::string> words(const std::string& name, std::vector<std::string> more = {}) {
  return tests::run_without_staleness(name, last_step, std::move(more));
}

std::vector<std::string> remote_words(const std::string& name, const std::string& url,
                                      std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"engine.remote=" + url, "engine.remote_key_env=SERVER_KEY"});
  return words(name, more);
}

process begin(const scratch& place, const std::vector<std::string>& arguments) {
  return process::troupe(arguments, place.path(), {"SERVER_KEY=secret"});
}

std::string weights(const scratch& place, const std::string& run) {
  return tests::weights_of(place, run, last_step);
}

/// The run that all others here are held to.
void run_here(const scratch& place) {
  // Some rows more than the tokenizer has words, as Qwen's have: these tokens are sampled, too.
  write_model(place.path() / "model", model_family::qwen2, words_of_tokenizer() + 7);
  auto run = begin(place, words("here"));
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  ASSERT_GT(trained(run.out()), 0) << "nothing to learn from: equal weights would say nothing";
  ASSERT_GT(weights(place, "here").size(), 10000u);
}

} // namespace

TEST(ARemoteEngine, SamplesWhatTheLocalOneDoesBitForBit) { // REM-2, REM-3
  scratch place;
  run_here(place);
  server there(place);
  auto run = begin(place, remote_words("there", there.url()));
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  EXPECT_TRUE(weights(place, "there") == weights(place, "here")) << "the same seed, other weights";
  EXPECT_EQ(read_file(place.path() / "runs/there/config.yaml")->find("secret"), std::string::npos);
  expect_balanced(place, "runs/there");
  auto again = process::troupe({"replay", "runs/there"}, place.path()); // needs no server
  EXPECT_EQ(again.wait(120s), 0) << again.out() << again.err();
}

TEST(ARemoteEngine, ThatIsKilledAndComesBackChangesNothing) { // REM-1, REM-2
  scratch place;
  run_here(place);
  server there(place);
  auto run =
      begin(place, remote_words("there", there.url(), {"rollout.turn_timeout=2", "rollout.time_budget=60"}));
  ASSERT_TRUE(run.says("\"kind\":\"step\"", 120s)) << run.err() << run.out().substr(0, 3000);
  there.kill();
  ASSERT_TRUE(run.says("engine_server_away", 20s)) << run.err() << run.out().substr(0, 3000);
  std::this_thread::sleep_for(
      9s); // more than three turns' patience: rollouts that gave up would be quarantined
  ASSERT_TRUE(run.running()) << run.err() << run.out().substr(0, 3000);
  there.start(); // with the weights that it began with: none of this run's
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  EXPECT_TRUE(weights(place, "there") == weights(place, "here")) << "the same seed, other weights";
  expect_balanced(place, "runs/there");
}

TEST(ARemoteEngine, IsUsedAgainByARunThatWasKilledAndResumed) { // REM-2, REM-5
  scratch place;
  run_here(place);
  server there(place);
  auto run = begin(place, remote_words("there", there.url()));
  ASSERT_TRUE(run.says("\"kind\":\"step\"", 120s)) << run.err() << run.out().substr(0, 3000);
  run.signal(SIGKILL);
  run.wait(10s);
  // As if it had died between a pause and its end.
  ASSERT_EQ(http::fetch("POST", there.url() + "/pause?mode=keep", {}, {{"Authorization", "Bearer secret"}})
                .value_or(http::response{0})
                .status,
            200);
  auto more = begin(place, remote_words("there", there.url(), {"--resume"}));
  ASSERT_EQ(more.wait(240s), 0) << more.err() << more.out().substr(0, 3000);
  EXPECT_TRUE(weights(place, "there") == weights(place, "here")) << "the same seed, other weights";
  expect_balanced(place, "runs/there");
}

namespace {

/// A server that answers completions with this choice, for what our own never does.
struct odd_server {
  std::unique_ptr<http::server> it;
  explicit odd_server(json::object choice, int context = 2048) {
    http::router routes;
    const auto say = [&](const std::string& method, const std::string& path, json::value what) {
      routes.add(method, path, [what](http::request&, http::responder answer) {
        answer.send(http::json_response(200, what));
      });
    };
    say("GET", "/v1/models",
        json::object{{"data", json::array{json::object{{"id", "odd"}, {"max_model_len", context}}}}});
    say("POST", "/v1/completions", json::object{{"choices", json::array{std::move(choice)}}});
    say("GET", "/weight_info", json::object{{"weight_version", "0"}});
    say("POST", "/resume", json::object{{"status", "resumed"}});
    it = std::move(*http::server::start({}, std::move(routes)));
  }
};

} // namespace

TEST(ARemoteEngine, ThatARunCannotUseIsRefusedAtItsStartWithASentence) { // REM-4
  scratch place;
  write_model(place.path() / "model", model_family::qwen2, words_of_tokenizer());
  const auto refused = [&](const std::string& url, const std::string& what,
                           std::vector<std::string> more = {}) {
    auto run = begin(place, remote_words("refused", url, std::move(more)));
    const int code = run.wait(60s);
    EXPECT_TRUE(code > 0 && code < 128) << code;
    const auto said = run.err();
    EXPECT_NE(said.find(what), std::string::npos) << said << run.out();
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    fs::remove_all(place.path() / "runs");
  };
  refused("https://127.0.0.1:1", "expected http://host:port");
  refused("http://127.0.0.1:1", "Connection refused");
  refused("http://127.0.0.1:1", "OTHER_KEY, which is not set", {"engine.remote_key_env=OTHER_KEY"});

  json::object whole{{"index", 0},
                     {"text", ""},
                     {"token_ids", json::array{1}},
                     {"weight_versions", json::array{0}},
                     {"logprobs", json::object{{"token_logprobs", json::array{-0.5}}}},
                     {"finish_reason", "length"}};
  auto without = [&](const char* key) {
    auto choice = whole;
    choice.erase(key);
    return odd_server(choice);
  };
  refused(without("token_ids").it->url(), "there is no \"token_ids\"");
  refused(without("logprobs").it->url(), "there is no \"logprobs\"");
  refused(without("weight_versions").it->url(), "there is no \"weight_versions\"");
  refused(odd_server(whole, 100).it->url(), "its model takes 100 tokens");

  server there(place);
  refused(there.url(), "401", {"engine.remote_key_env="});
  write_model(place.path() / "larger", model_family::qwen2, words_of_tokenizer() + 7);
  refused(there.url(), "token ids from 0 to", {"model.path=larger"});
}

// `troupe serve` as a process: real clients, many of them.
#include "tests/system/process.hpp"

#include "runtime/base/http.hpp"
#include "tests/unit/base/raw_client.hpp"
#include "tests/unit/tiny_model.hpp"

#include <csignal>
#include <cstdlib>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <thread>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;

namespace {

/// A server of the tiny model, ready to be asked.
struct served {
  scratch place;
  process program;
  std::string url;

  static process start(const scratch& place, std::vector<std::string> more, const tiny_model& model) {
    model.save(place.path() / "tiny");
    std::vector<std::string> arguments = {"serve",     "--model", "tiny",        "--port", "0",
                                          "--threads", "1",       "--admin-key", "root"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return process::troupe(arguments, place.path());
  }
  explicit served(std::vector<std::string> more = {}, const tiny_model& model = {})
      : program(start(place, std::move(more), model)) {
    if (!program.says("/v1\n", 60s)) throw std::runtime_error(program.err());
    const auto said = program.err();
    const auto at = said.find("http://");
    url = said.substr(at, said.find("/v1\n", at) - at);
  }
  std::uint16_t port() const { return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))); }
  http::response order(const std::string& method, const std::string& path) const {
    return http::fetch(method, url + path, {}, {{"Authorization", "Bearer root"}})
        .value_or(http::response{0});
  }
};

} // namespace

TEST(Serve, WorksWithOpenAIsOwnClient) {
  const auto python = tests::oracle_python().string();
  if (std::system(("'" + python + "' -c 'import openai' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << "the Python package openai is not in " << python
                 << " (./troupe test makes that environment, where packages can be fetched)";
  tiny_model roomy;
  roomy.context = 1024;
  served server({"--api-key", "secret", "--served-model-name", "tiny-talker"}, roomy);
  const auto script = std::filesystem::path(TROUPE_SOURCE_DIR) / "tests" / "system" / "openai_client.py";
  const auto said = server.place.path() / "client.txt";
  const int status = std::system(("'" + python + "' '" + script.string() + "' " + server.url +
                                  "/v1 secret >'" + said.string() + "' 2>&1")
                                     .c_str());
  EXPECT_EQ(status, 0) << read_file(said).value_or("") << server.program.err();
  EXPECT_NE(read_file(said).value_or("").find("checks hold with openai"), std::string::npos);
}

TEST(Serve, RefusesNewWeightsThatAreNoNumbersAndGoesOn) {
  served server({"--mode", "fast"});
  tiny_model broken;
  broken.broken = true;
  broken.save(server.place.path() / "broken");
  const auto got = http::fetch("POST", server.url + "/update_weights_from_disk", R"({"model_path":"broken"})",
                               {{"Authorization", "Bearer root"}});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->status, 400) << got->body;
  EXPECT_NE(got->body.find("no finite numbers"), std::string::npos) << got->body;
  const auto fine =
      http::fetch("POST", server.url + "/v1/completions", R"({"prompt":"the cat","max_tokens":3})");
  ASSERT_TRUE(fine);
  EXPECT_EQ(fine->status, 200) << fine->body;
}

TEST(Serve, EndsCleanlyOnASignalInTheMiddleOfAStream) {
  tiny_model long_talker;
  long_talker.context = 1 << 16;
  served server({}, long_talker);
  raw_client client(server.port());
  const std::string body = R"({"prompt":"the cat","max_tokens":60000,"ignore_eos":true,"stream":true})";
  client.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_NE(client.read_until("data: ").find("200 OK"), std::string::npos);
  server.program.signal(SIGTERM);
  EXPECT_EQ(server.program.wait(20s), 0) << server.program.err();
}

/// As many as this system's limit of open files allows, 10,000 of them where it is 10,400 or more.
TEST(Serve, QueuesTenThousandRequestsAndRefusesTheNext) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const int most = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 20000)) - 400;
  const int count = std::min(10000, most);
  ASSERT_GT(count, 100);
  served server({"--max-queue", std::to_string(count)});
  ASSERT_EQ(server.order("POST", "/pause?mode=keep").status, 200);
  const std::string body = R"({"prompt":"the cat","max_tokens":1})";
  const auto request =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  std::vector<std::unique_ptr<raw_client>> waiting;
  for (int i = 0; i < count; ++i) {
    waiting.push_back(std::make_unique<raw_client>(server.port()));
    ASSERT_TRUE(waiting.back()->connected && waiting.back()->send(request)) << i;
  }
  const auto line = "vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} " + std::to_string(count);
  bool all = false;
  for (int tries = 0; tries < 600 && !all; ++tries) {
    all = server.order("GET", "/metrics").body.find(line) != std::string::npos;
    if (!all) std::this_thread::sleep_for(100ms);
  }
  ASSERT_TRUE(all) << "not all are queued";
  const auto refused = http::fetch("POST", server.url + "/v1/completions", body);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 429) << refused->body;
  EXPECT_FALSE(http::header_of(refused->headers, "Retry-After").empty());
  ASSERT_EQ(server.order("POST", "/resume").status, 200);
  int answered = 0;
  for (auto& one : waiting) answered += one->read_all(60000).find(" 200 OK") != std::string::npos ? 1 : 0;
  EXPECT_EQ(answered, count);
}

TEST(Serve, RefusesWhatCannotBeServed) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  const auto refused = [&](std::vector<std::string> more, const std::string& word, int code = 2) {
    std::vector<std::string> arguments = {"serve"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto run = process::troupe(arguments, place.path());
    EXPECT_EQ(run.wait(60s), code) << run.err();
    EXPECT_NE(run.err().find(word), std::string::npos) << run.err();
  };
  refused({"--port", "0", "--model", "nowhere"}, "no model at nowhere");
  tiny_model broken;
  broken.broken = true;
  broken.save(place.path() / "broken");
  refused({"--port", "0", "--model", "broken"}, "model.norm.weight holds values that are no finite numbers");
  refused({"--port", "0", "--model", "tiny", "--max-model-len", "1000"}, "the model takes 256");
  refused({"--port", "0", "--model", "tiny", "--kv-cache-tokens", "1000000000000"}, "not enough memory");
  refused({"--model", "tiny", "--host", "somewhere", "--port", "0"}, "somewhere");
  const served first;
  refused({"--model", "tiny", "--port", std::to_string(first.port())}, "in use", 4);
}

#include "runtime/base/http.hpp"

#include "raw_client.hpp"
#include "runtime/base/random.hpp"
#include <chrono>
#include <condition_variable>
#include <deque>
#include <gtest/gtest.h>
#include <mutex>
#include <stdexcept>
#include <thread>

using namespace troupe;
using namespace std::chrono_literals;
using http::request;
using http::responder;
using http::response;

namespace {

/// Requests that wait for a test to answer them.
struct held {
  std::mutex guard;
  std::condition_variable more;
  std::deque<responder> waiting;
  void put(responder one) {
    std::scoped_lock lock(guard);
    waiting.push_back(std::move(one));
    more.notify_all();
  }
  responder take() {
    std::unique_lock lock(guard);
    if (!more.wait_for(lock, 5s, [&] { return !waiting.empty(); }))
      throw std::runtime_error("no request came");
    auto one = std::move(waiting.front());
    waiting.pop_front();
    return one;
  }
};

struct fixture {
  held later;
  std::unique_ptr<http::server> server;
  explicit fixture(http::server_options options = {}) {
    http::router routes;
    routes.add("GET", "/v1/things/{id}", [](request& r, responder a) {
      std::string text = r.params["id"];
      for (auto& [key, value] : r.query) text += " " + key + "=" + value;
      a.send({200, text});
    });
    routes.add("GET", "/v1/things/first", [](request&, responder a) { a.send({200, "the literal route"}); });
    routes.add("DELETE", "/v1/things/{id}", [](request&, responder a) { a.send({204, "", ""}); });
    routes.add("POST", "/echo", [](request& r, responder a) { a.send(http::json_response(200, r.json)); });
    routes.add(
        "POST", "/bytes",
        [](request& r, responder a) {
          a.send({200, std::to_string(r.body.size())});
        },
        http::body_kind::any);
    routes.add("GET", "/later", [this](request&, responder a) { later.put(std::move(a)); });
    routes.add("GET", "/forgotten", [](request&, responder) {});
    routes.add("GET", "/throws", [](request&, responder) { throw std::runtime_error("a secret"); });
    routes.add("GET", "/evil", [](request&, responder a) {
      a.send({200, "x", "text/plain", {{"X-Name", "a\r\nSet-Cookie: b"}}});
    });
    auto started = http::server::start(std::move(options), std::move(routes));
    if (!started) throw std::runtime_error(started.error().message);
    server = std::move(*started);
  }
  std::string url(const std::string& path) const { return server->url() + path; }
  response get(const std::string& path) const {
    auto got = http::fetch("GET", url(path));
    if (!got) throw std::runtime_error(got.error().message);
    return *got;
  }
  std::string raw(std::string_view bytes, bool end = false) const {
    raw_client client(server->port());
    client.send(bytes);
    if (end) client.end_of_input();
    return client.read_all();
  }
};

int status_of(const std::string& raw) { return raw.size() > 12 ? std::atoi(raw.c_str() + 9) : 0; }

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

} // namespace

TEST(AnHttpServer, RoutesByPathAndMethodAndDecodesParameters) { // HTTP-1
  fixture f;
  EXPECT_EQ(f.get("/v1/things/a%20b?k=1&word=x+y%26").body, "a b k=1 word=x y&");
  EXPECT_EQ(f.get("/v1/things/first").body, "the literal route");
  auto gone = http::fetch("DELETE", f.url("/v1/things/7"));
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->status, 204);
  EXPECT_EQ(gone->body, "");
  EXPECT_FALSE(http::header_of(f.get("/v1/things/1").headers, "date").empty());
}

TEST(AnHttpServer, AnswersAHeadRequestWithoutABody) {
  fixture f;
  auto head = http::fetch("HEAD", f.url("/v1/things/abc"));
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->body, "");
  EXPECT_EQ(http::header_of(head->headers, "Content-Length"), "3");
}

TEST(AnHttpServer, SaysWhatIsWrongWithARequestAsAProblemDocument) { // HTTP-1
  fixture f;
  auto missing = f.get("/v2");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.content_type, "application/problem+json");
  auto document = json::parse(missing.body);
  ASSERT_TRUE(document);
  EXPECT_EQ(document->at("title").as_string(), "Not Found");
  EXPECT_EQ(document->at("status").as_int64(), 404);
  EXPECT_EQ(f.get("/v1/things/").status, 404) << "an empty parameter";
  EXPECT_EQ(f.get("/v1/things/a/b").status, 404);

  auto wrong = http::fetch("POST", f.url("/v1/things/7"));
  EXPECT_EQ(wrong->status, 405);
  EXPECT_EQ(http::header_of(wrong->headers, "Allow"), "DELETE, GET, HEAD, OPTIONS");
  auto options = http::fetch("OPTIONS", f.url("/echo"));
  EXPECT_EQ(options->status, 204);
  EXPECT_EQ(http::header_of(options->headers, "Allow"), "OPTIONS, POST");

  const http::header_list is_json = {{"Content-Type", "application/json; charset=utf-8"}};
  EXPECT_EQ(http::fetch("POST", f.url("/echo"), R"({"a":1})", is_json)->body, "{\"a\":1}\n");
  EXPECT_EQ(http::fetch("POST", f.url("/echo"), "{", is_json)->status, 400);
  EXPECT_EQ(http::fetch("POST", f.url("/echo"), R"({"a":1,"a":2})", is_json)->status, 400);
  EXPECT_EQ(http::fetch("POST", f.url("/echo"), std::string(100'000, '['), is_json)->status, 400);
  EXPECT_EQ(http::fetch("POST", f.url("/echo"), "\"\xff\"", is_json)->status, 400);
  EXPECT_EQ(http::fetch("POST", f.url("/echo"), "{}", {{"Content-Type", "text/plain"}})->status, 415);
  EXPECT_EQ(http::fetch("POST", f.url("/echo"), "{}")->status, 415);
  EXPECT_EQ(http::fetch("POST", f.url("/echo"))->body, "null\n") << "no body is no type error";
  EXPECT_EQ(f.get("/v1/things/%zz").status, 400);
}

TEST(AnHttpServer, AnswersFiveHundredWithoutTheSecretsOfAnException) {
  fixture f;
  auto got = f.get("/throws");
  EXPECT_EQ(got.status, 500);
  EXPECT_EQ(got.body.find("secret"), std::string::npos);
}

TEST(AnHttpServer, KeepsItsLimits) { // HTTP-3, promise 13: at limit + 1 byte
  http::server_options options;
  options.header_limit = 2000;
  options.body_limit = 1000;
  fixture f(options);
  const auto body = [&](std::size_t n) {
    return http::fetch("POST", f.url("/bytes"), std::string(n, 'x'))->status;
  };
  EXPECT_EQ(body(1000), 200);
  EXPECT_EQ(body(1001), 413);
  EXPECT_EQ(body(3'000'000), 413) << "the answer arrives though the body is not read";
  EXPECT_EQ(
      status_of(f.raw("POST /bytes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                      std::string(2000, 'x') + "\r\n0\r\n\r\n")),
      413);
  EXPECT_EQ(http::fetch("GET", f.url("/v1/things/1"), "", {{"X-Long", std::string(1500, 'x')}})->status, 200);
  EXPECT_EQ(http::fetch("GET", f.url("/v1/things/1"), "", {{"X-Long", std::string(2100, 'x')}})->status, 431);
  EXPECT_EQ(status_of(f.raw("GET /" + std::string(200'000, 'a') + " HTTP/1.1\r\n")), 431);
}

TEST(AnHttpServer, AnswersFromAnotherThreadAndOnlyOnce) { // HTTP-1
  fixture f;
  std::thread answering([&] {
    auto one = f.later.take();
    auto copy = one;
    EXPECT_TRUE(one.send({200, "first"}));
    EXPECT_FALSE(copy.send({200, "second"}));
  });
  EXPECT_EQ(f.get("/later").body, "first");
  answering.join();
}

TEST(AnHttpServer, AnswersUnavailableForAForgottenOrLateResponder) { // HTTP-2
  http::server_options options;
  options.answer_deadline = 50ms;
  fixture f(options);
  EXPECT_EQ(f.get("/forgotten").status, 503);
  EXPECT_EQ(f.get("/later").status, 503);
  EXPECT_FALSE(f.later.take().send({200, "too late"}));
  EXPECT_EQ(f.get("/v1/things/9").body, "9");
}

TEST(AnHttpServer, AnswersPipelinedRequestsInTheirOrder) { // HTTP-1
  fixture f;
  const std::string one = "GET /v1/things/", two = " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  raw_client client(f.server->port());
  std::string all;
  for (int i = 0; i < 20; ++i) all += one + std::to_string(100 + i) + two;
  client.send(all + "GET /later" + two + one +
              "last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  auto slow = f.later.take();
  std::this_thread::sleep_for(20ms);
  slow.send({200, "slow"});
  const auto got = client.read_all();
  EXPECT_TRUE(client.closed);
  EXPECT_EQ(count(got, "HTTP/1.1 200 OK"), 22u);
  std::size_t before = 0;
  for (int i = 0; i < 20; ++i) {
    const auto at = got.find("\r\n\r\n" + std::to_string(100 + i));
    ASSERT_NE(at, got.npos);
    EXPECT_GE(at, before);
    before = at;
  }
  EXPECT_LT(got.find("\r\n\r\nslow"), got.find("\r\n\r\nlast"));
}

TEST(AnHttpServer, TakesARequestByteByByte) { // HTTP-3: split frames
  fixture f;
  raw_client client(f.server->port());
  for (char c : std::string("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n")) {
    client.send(std::string_view(&c, 1));
    std::this_thread::sleep_for(50us);
  }
  EXPECT_NE(client.read_until("[1,2]").find("200 OK"), std::string::npos);
}

TEST(AnHttpServer, TellsAClientThatWaitsToGoOn) {
  fixture f;
  raw_client client(f.server->port());
  client.send("POST /bytes HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("abc");
  EXPECT_NE(client.read_until("\r\n\r\n3").find("200 OK"), std::string::npos);
}

TEST(AnHttpServer, ClosesOnSlowSenders) { // HTTP-3: slow-loris
  http::server_options options;
  options.header_deadline = options.body_deadline = options.idle_deadline = 60ms;
  fixture f(options);
  raw_client header(f.server->port()), body(f.server->port()), silent(f.server->port());
  header.send("GET /v1/things/1 HTTP/1.1\r\nHost: loc");
  body.send("POST /bytes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(status_of(header.read_all()), 408);
  EXPECT_EQ(status_of(body.read_all()), 408);
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_TRUE(header.closed && body.closed && silent.closed);
  raw_client kept(f.server->port());
  kept.send("GET /v1/things/1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(status_of(kept.read_all()), 200);
  EXPECT_TRUE(kept.closed) << "idle for too long";
}

TEST(AnHttpServer, TurnsAwayMoreConnectionsThanItMayHave) { // HTTP-3
  http::server_options options;
  options.max_connections = 2;
  fixture f(options);
  {
    raw_client one(f.server->port()), two(f.server->port());
    one.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
    two.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
    auto first = f.later.take(), second = f.later.take();
    EXPECT_EQ(status_of(f.raw("")), 503);
    first.send({200, "x"});
    second.send({200, "x"});
  }
  for (int i = 0; i < 100 && status_of(f.raw("GET /v1/things/1 HTTP/1.0\r\n\r\n")) != 200; ++i)
    std::this_thread::sleep_for(10ms);
  EXPECT_EQ(f.get("/v1/things/1").status, 200) << "there is room again";
}

TEST(AnHttpServer, RefusesWebPagesOfOtherHosts) {
  fixture f;
  const std::string start = "GET /v1/things/1 HTTP/1.0\r\n";
  EXPECT_EQ(status_of(f.raw(start + "Host: evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status_of(f.raw(start + "Host: localhost:1\r\nOrigin: http://evil.example\r\n\r\n")), 403);
  EXPECT_EQ(status_of(f.raw(start + "Host: localhost:1\r\nOrigin: null\r\n\r\n")), 403);
  EXPECT_EQ(status_of(f.raw(start + "Host: localhost:1\r\nOrigin: http://localhost:1\r\n\r\n")), 200);
  EXPECT_EQ(status_of(f.raw(start + "Host: [::1]:1\r\n\r\n")), 200);
}

TEST(AnHttpServer, RefusesAmbiguousRequests) { // request smuggling
  fixture f;
  const std::string post = "POST /bytes HTTP/1.1\r\n", host = "Host: localhost\r\n";
  EXPECT_EQ(status_of(f.raw("GET /v1/things/1 HTTP/1.1\r\n\r\n")), 400) << "no Host";
  EXPECT_EQ(status_of(f.raw("GET /v1/things/1 HTTP/1.1\r\n" + host + host + "\r\n")), 400);
  EXPECT_EQ(status_of(f.raw(post + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")), 400);
  EXPECT_EQ(
      status_of(f.raw(post + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
      400);
  EXPECT_EQ(status_of(f.raw(post + host + "Content-Length: -1\r\n\r\n")), 400);
  EXPECT_EQ(status_of(f.raw(post + host + "Content-Length: 99999999999999999999\r\n\r\n")), 400);
  EXPECT_EQ(status_of(f.raw(post + host + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n")), 400);
  EXPECT_EQ(status_of(f.raw("GET /v1/things/1 HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n")), 403)
      << "it is part of Host";
  EXPECT_EQ(status_of(f.raw("GET http://localhost/v1/things/1 HTTP/1.0\r\n\r\n")), 200) << "absolute form";
}

TEST(AnHttpServer, DoesNotLetAHandlerSplitItsResponse) {
  fixture f;
  EXPECT_EQ(f.get("/evil").status, 200);
  EXPECT_EQ(f.raw("GET /evil HTTP/1.0\r\n\r\n").find("\r\nSet-Cookie"), std::string::npos);
}

TEST(AnHttpServer, SurvivesGarbage) { // HTTP-3, promise 12
  http::server_options options;
  options.threads = 2;
  options.header_deadline = options.body_deadline = 200ms;
  fixture f(options);
  const std::string good =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"
      "{\"a\":1}";
  random_stream random(2024);
  int refused = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string bytes = good;
    if (round % 3 == 0) {
      bytes.assign(random.below(400), '\0');
      for (char& c : bytes) c = static_cast<char>(random.below(256));
    } else {
      for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
        const auto at = random.below(bytes.size());
        switch (random.below(4)) {
        case 0: bytes[at] = static_cast<char>(random.below(256)); break;
        case 1: bytes.erase(at, 1 + random.below(8)); break;
        case 2: bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(40))); break;
        default: bytes.resize(at); break;
        }
        if (bytes.empty()) bytes = "x";
      }
    }
    const auto got = f.raw(bytes, true);
    ASSERT_TRUE(got.empty() || got.starts_with("HTTP/1.1 ")) << "round " << round << ": " << got;
    if (const int status = status_of(got); status >= 400) {
      ++refused;
      ASSERT_LT(status, 506) << got;
      ASSERT_NE(status, 500) << got;
    }
  }
  EXPECT_GT(refused, 300);
  EXPECT_EQ(f.get("/v1/things/alive").body, "alive");
}

TEST(AnHttpServer, SurvivesClientsThatLeaveAtAnyMoment) { // HTTP-3
  fixture f;
  const std::string whole = "GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (std::size_t n = 0; n <= whole.size(); ++n) {
    raw_client client(f.server->port());
    client.send(std::string_view(whole).substr(0, n));
  }
  auto orphan = f.later.take();
  orphan.send({200, std::string(1 << 20, 'x')});
  EXPECT_EQ(f.get("/v1/things/1").status, 200);
}

TEST(AStreamedResponse, ArrivesPieceByPiece) {
  fixture f;
  raw_client client(f.server->port());
  client.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/things/next HTTP/1.1\r\nHost: "
              "localhost\r\n\r\n");
  auto answer = f.later.take();
  auto stream = answer.start({200, "", "text/event-stream"});
  EXPECT_TRUE(stream.open());
  EXPECT_FALSE(answer.send({200, "again"}));
  EXPECT_TRUE(stream.write(http::server_sent_event("step", "a\nb")));
  EXPECT_NE(client.read_until("data: b\n\n").find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_TRUE(stream.write("tail"));
  stream.finish();
  EXPECT_FALSE(stream.write("more"));
  const auto rest = client.read_until("\r\n\r\nnext");
  EXPECT_TRUE(rest.starts_with("4\r\ntail\r\n0\r\n\r\nHTTP/1.1 200 OK")) << rest;
}

TEST(AStreamedResponse, ReachesAnHttp10ClientUntilTheConnectionCloses) {
  fixture f;
  raw_client client(f.server->port());
  client.send("GET /later HTTP/1.0\r\n\r\n");
  auto stream = f.later.take().start({200, "first "});
  stream.write("second");
  stream.finish();
  const auto got = client.read_all();
  EXPECT_TRUE(client.closed);
  EXPECT_TRUE(got.ends_with("\r\n\r\nfirst second")) << got;
}

TEST(AStreamedResponse, SaysNoWhileItsPeerDoesNotReadAndEndsWhenItLeaves) {
  http::server_options options;
  options.stream_limit = 100'000;
  fixture f(options);
  raw_client client(f.server->port());
  client.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  auto stream = f.later.take().start({200, ""});
  std::size_t taken = 0;
  for (int i = 0; i < 2000 && stream.write(std::string(10'000, 'x')); ++i) {
    ++taken;
    std::this_thread::sleep_for(100us);
  }
  EXPECT_LT(taken, 2000u);
  EXPECT_TRUE(stream.open());
  client.close();
  for (int i = 0; i < 500 && stream.open(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(stream.open());
  EXPECT_FALSE(stream.write("x"));
}

TEST(AStreamedResponse, ThatIsDroppedUnfinishedIsCutOff) {
  fixture f;
  raw_client client(f.server->port());
  client.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  f.later.take().start({200, "part"});
  const auto got = client.read_all();
  EXPECT_TRUE(client.closed);
  EXPECT_EQ(got.find("\r\n0\r\n\r\n"), got.npos) << "it must not look whole";
}

TEST(AnHttpServer, TellsWhoAskedThatAClientIsGone) { // HTTP-5
  fixture f;
  std::atomic<int> gone = 0;
  const auto until = [&](int n) {
    for (int i = 0; i < 500 && gone < n; ++i) std::this_thread::sleep_for(10ms);
    return gone.load();
  };
  { // while it waits for the answer
    raw_client client(f.server->port());
    client.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const auto answer = f.later.take();
    answer.on_gone([&] { ++gone; });
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(gone, 0);
    client.close();
    EXPECT_EQ(until(1), 1);
    EXPECT_FALSE(answer.send({200, "too late"}));
  }
  { // in the middle of a stream
    raw_client client(f.server->port());
    client.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const auto answer = f.later.take();
    auto stream = answer.start({200, "first"});
    answer.on_gone([&] { ++gone; });
    client.read_until("first");
    client.close();
    EXPECT_EQ(until(2), 2);
    EXPECT_FALSE(stream.open());
  }
  { // asked after it has left
    raw_client client(f.server->port());
    client.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const auto answer = f.later.take();
    client.close();
    std::this_thread::sleep_for(50ms);
    answer.on_gone([&] { ++gone; });
    EXPECT_EQ(until(3), 3);
  }
  { // one that got its answer is not gone, though it leaves later; nor is one that asks again at once
    raw_client client(f.server->port());
    for (int i = 0; i < 2; ++i) {
      client.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
      const auto answer = f.later.take();
      answer.on_gone([&] { ++gone; });
      std::this_thread::sleep_for(20ms);
      EXPECT_TRUE(answer.send({200, "here"}));
      EXPECT_NE(client.read_until("here").find("200 OK"), std::string::npos);
    }
    client.close();
    std::this_thread::sleep_for(100ms);
    EXPECT_EQ(gone, 3);
  }
}

TEST(AnHttpServer, GivesItsErrorsTheFormThatAnApiWants) {
  http::server_options options;
  options.body_limit = 10;
  options.error_form = [](response problem) {
    return http::json_response(problem.status, json::object{{"oh", json::parse(problem.body)->at("title")}});
  };
  fixture f(options);
  EXPECT_EQ(f.get("/nowhere").body, "{\"oh\":\"Not Found\"}\n");
  EXPECT_EQ(f.get("/nowhere").status, 404);
  EXPECT_NE(f.raw("GET\r\n\r\n").find("{\"oh\":\"Bad Request\"}"), std::string::npos);
  EXPECT_EQ(http::fetch("POST", f.url("/bytes"), "more than ten bytes")->status, 413);
  EXPECT_EQ(f.get("/v1/things/first").body, "the literal route");
}

TEST(AnHttpServer, RefusesATakenPortAndABadAddress) {
  fixture f;
  http::server_options options;
  options.port = f.server->port();
  auto second = http::server::start(options, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, errc::in_use);
  EXPECT_EQ(second.error().message,
            "127.0.0.1:" + std::to_string(options.port) +
                " is in use by another process; choose another port, or 0 for any free one");
  options.address = "nonsense";
  EXPECT_EQ(http::server::start(options, {}).error().code, errc::invalid);
}

TEST(AnHttpServer, StopsWithinItsGraceAndSendsTheAnswersThatAreThere) { // HTTP-4
  fixture f;
  raw_client idle(f.server->port()), answered(f.server->port()), stuck(f.server->port());
  idle.send("GET /v1/things/1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  idle.read_until("\r\n\r\n1");
  answered.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  auto soon = f.later.take();
  stuck.send("GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
  auto never = f.later.take();
  std::thread answering([&] {
    std::this_thread::sleep_for(30ms);
    soon.send({200, "in time"});
  });
  const auto start = std::chrono::steady_clock::now();
  f.server->stop(200ms);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 4s);
  answering.join();
  EXPECT_NE(answered.read_all().find("in time"), std::string::npos);
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_EQ(stuck.read_all(), "");
  EXPECT_TRUE(idle.closed && stuck.closed);
  EXPECT_FALSE(never.send({200, "too late"}));
  EXPECT_FALSE(raw_client(f.server->port()).connected);
  f.server->stop(1s);
}

TEST(AFetch, ReturnsItsErrorsAsValues) {
  fixture f;
  EXPECT_EQ(http::fetch("GET", "ftp://x/").error().code, errc::invalid);
  EXPECT_EQ(http::fetch("GET", "http://localhost:x/").error().code, errc::invalid);
  EXPECT_EQ(http::fetch("GET", f.url("/later"), "", {}, 50ms).error().code, errc::timeout);
  f.later.take();
  const auto port = f.server->port();
  f.server->stop(0s);
  EXPECT_EQ(http::fetch("GET", "http://127.0.0.1:" + std::to_string(port) + "/").error().code,
            errc::unavailable);
}

TEST(AFetch, TurnsAProblemDocumentIntoAnError) {
  fixture f;
  auto got = http::fetch_json("GET", f.url("/nowhere"));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), (error{errc::not_found, "404 Not Found: nothing is at /nowhere"}));
  json::value body = json::object{{"x", 2}};
  EXPECT_EQ(*http::fetch_json("POST", f.url("/echo"), &body), body);
}

TEST(AProblem, CarriesTheStatusOfItsError) {
  EXPECT_EQ(http::problem(error{errc::disk_full, "x"}).status, 507);
  EXPECT_EQ(http::problem(error{errc::timeout, "x"}).status, 504);
  const auto unavailable = http::problem(error{errc::unavailable, "gone"});
  EXPECT_EQ(unavailable.status, 503);
  EXPECT_EQ(http::header_of(unavailable.headers, "retry-after"), "2");
  EXPECT_EQ(json::parse(unavailable.body)->at("code").as_string(), "unavailable");
}

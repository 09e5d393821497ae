#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A small HTTP/1.1 kit: a router, a server that may be answered from any thread, a blocking client.
///
/// | in                                | out                                             |
/// | a request from a socket           | one call of its route's handler                 |
/// | responder::send, from any thread  | one response, in the order of the requests      |
///
/// | backpressure | waits for | unblocked by |
/// | a connection (keep-alive, pipelining) | the answer to its one open request | responder::send, or the
/// answer deadline | | a streamed response | its peer to read | the socket; `body_stream::write` says false
/// meanwhile |
///
///   HTTP-1  Every request gets exactly one response: the handler's, or an error that says what was wrong
///   with the request. HTTP-2  A responder that is dropped, or not used before its deadline, answers 503.
///   HTTP-3  Whatever bytes arrive, the server neither crashes nor keeps a connection beyond its deadlines or
///   limits. HTTP-4  `stop` ends within its grace plus a moment: answers that are there by then are sent.
///   HTTP-5  Whoever asked by `on_gone` is told, once, when the peer leaves before its answer is complete.
namespace troupe::http {

using header_list = std::vector<std::pair<std::string, std::string>>;

/// The value of the first header of that name, in any case; empty if there is none.
std::string_view header_of(const header_list& headers, std::string_view name);

/// A complete request, as a handler sees it.
struct request {
  std::string method;                        ///< "GET"; a HEAD is routed as a GET
  std::string path;                          ///< percent-decoded, without the query: "/v1/experiments/7"
  std::string route;                         ///< the pattern that matched: "/v1/experiments/{id}"
  std::map<std::string, std::string> params; ///< {"id", "7"}
  std::vector<std::pair<std::string, std::string>> query; ///< decoded, in order
  header_list headers;
  std::string body;
  json::value json; ///< the parsed body of a route that takes JSON; null for an empty body
  std::string peer; ///< "127.0.0.1:4711"

  std::string_view header(std::string_view name) const { return header_of(headers, name); }
  /// The first value of a query parameter; null if there is none.
  const std::string* query_value(std::string_view name) const;
};

struct response {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8"; ///< sent if there is a body
  header_list headers{}; ///< beside Content-Type, Content-Length, Date and Connection
};

response json_response(int status, const json::value& body);
/// RFC 9457 application/problem+json: {"type": "about:blank", "title", "status", "detail", ...more}.
response problem(int status, std::string_view title, std::string_view detail = {}, json::object more = {});
/// The problem that an error is to a caller: invalid 400, not_found 404, conflict 409, in_use 409, timeout
/// 504, unavailable 503, cancelled 503, exhausted 429, disk_full 507, the rest 500.
response problem(const error& what);
/// The standard reason phrase: "Not Found".
std::string_view reason(int status);

/// One server-sent event: "event: step\ndata: {...}\n\n". A line break in `data` becomes a second data line.
std::string server_sent_event(std::string_view event, std::string_view data);

struct open_request; // one request that waits for its answer
struct server_core;  // what a server's threads share

/// A response whose body comes in pieces (chunked; to HTTP/1.0 until the connection closes). Copies are one
/// stream; thread-safe.
class body_stream {
public:
  body_stream() = default;
  explicit body_stream(std::shared_ptr<open_request> it) : it_(std::move(it)) {}
  /// False: not taken, because the peer is gone (then `open()` is false) or too many bytes wait for it
  /// already.
  bool write(std::string piece);
  void finish();
  bool open() const;

private:
  std::shared_ptr<open_request> it_;
};

/// The right to answer one request, once, from any thread. Copies are one right; the last one dropped unused
/// answers 503.
class responder {
public:
  responder() = default;
  explicit responder(std::shared_ptr<open_request> it) : it_(std::move(it)) {}
  /// False: somebody answered before, or the connection is gone.
  bool send(response what) const;
  /// Sends the head now, the body as it comes. Its `body` is the first piece. A stream that is not open if it
  /// was answered before.
  body_stream start(response head) const;
  /// `what` runs in a thread of the server, if the peer closes its side of the connection (or is cut off for not
  /// reading) before the answer is complete; then the connection is closed. A peer that has pipelined a further request
  /// is noticed only when it is written to. At most one per request.
  void on_gone(std::function<void()> what) const;

private:
  std::shared_ptr<open_request> it_;
};

/// Runs in a thread of the server: quick, or else it hands the responder on. An exception answers 500.
using handler = std::function<void(request&, responder)>;

/// What a route does with a body. `json`: another content type is 415, what does not parse 400.
enum class body_kind : std::uint8_t { any, json };

/// Which handler a path belongs to. Segments in braces are parameters; a literal segment goes before a
/// parameter. Unknown path: 404. Known path, unknown method: 405 with Allow; OPTIONS is answered with Allow.
class router {
public:
  router& add(std::string method, std::string pattern, handler what, body_kind body = body_kind::json);
  /// Calls the handler or answers with the error.
  void route(request& what, const responder& answer) const;

private:
  struct entry {
    std::string method, pattern;
    std::vector<std::string> segments;
    handler what;
    body_kind body;
  };
  std::vector<entry> entries_;
};

struct server_options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0; ///< 0: any free one
  int threads = 1;
  std::size_t header_limit = 16 << 10; ///< bytes; beyond: 431
  std::size_t body_limit = 1 << 20;    ///< bytes; beyond: 413
  std::size_t stream_limit = 1 << 20;  ///< bytes that may wait in one body_stream
  int send_buffer = 0;                 ///< bytes that the kernel holds for a slow peer; 0: its choice
  std::size_t max_connections = 256;   ///< beyond: 503 at once
  duration header_deadline = std::chrono::seconds(8);  ///< from the first byte to the end of the header: 408
  duration body_deadline = std::chrono::seconds(30);   ///< from there to the end of the body: 408
  duration idle_deadline = std::chrono::seconds(60);   ///< of a kept-alive connection between requests
  duration answer_deadline = std::chrono::seconds(60); ///< for the handler: 503
  duration write_deadline = std::chrono::seconds(30);  ///< for the peer to take what is written
  /// Host names a request may name. On a loopback address only loopback names are taken besides, so that no
  /// web page can reach the server by a name of its own (DNS rebinding); and an Origin of another host is
  /// refused (403).
  std::vector<std::string> host_names{};
  /// Each problem document goes out as what this makes of it: for an API with a form of its own for errors.
  std::function<response(response)> error_form{};
};

class server {
public:
  /// Errors: in_use (the port is taken), invalid (no such address), io.
  static expected<std::unique_ptr<server>> start(server_options options, router routes);
  /// Stops, with a grace of 1 s.
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  std::uint16_t port() const;
  /// "http://127.0.0.1:8080"
  std::string url() const;
  /// Takes no new request, waits up to `grace` for open ones, then closes every connection. Idempotent.
  void stop(duration grace = std::chrono::seconds(5));

private:
  explicit server(std::shared_ptr<server_core> it);
  std::shared_ptr<server_core> core_;
};

/// Sends one request and waits for the whole response (at most 64 MiB). `url` is
/// http://host[:port]/path?query. Errors: invalid (the URL), unavailable (nobody answers there, or the
/// connection broke), timeout.
expected<response> fetch(const std::string& method, const std::string& url, const std::string& body = {},
                         const header_list& headers = {}, duration deadline = std::chrono::seconds(10));
/// The same with a JSON body and a JSON answer; a problem document becomes an error with its title and
/// detail.
expected<json::value> fetch_json(const std::string& method, const std::string& url,
                                 const json::value* body = nullptr,
                                 duration deadline = std::chrono::seconds(10));

/// "a%20b" -> "a b". An incomplete or wrong escape is an error.
expected<std::string> percent_decode(std::string_view text);

} // namespace troupe::http

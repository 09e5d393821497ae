#include "runtime/base/http.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <ctime>
#include <deque>
#include <fcntl.h>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

namespace troupe::http {

namespace asio = boost::asio;
namespace wire = boost::beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

class connection;

struct server_core {
  server_core(server_options with, router how) : options(std::move(with)), routes(std::move(how)) {}
  server_options options;
  router routes;
  asio::io_context io;
  tcp::acceptor acceptor{asio::make_strand(io)};
  asio::steady_timer accept_again{acceptor.get_executor()};
  tcp::endpoint bound;
  std::vector<std::thread> threads;
  std::atomic<bool> stopping{false};
  std::mutex guard;
  std::condition_variable fewer;
  std::set<connection*> connections;
};

/// What the responders of one request share. The connection knows it by its number and never keeps it alive,
/// so that the last responder's end is seen here.
struct open_request {
  using strand_type = asio::strand<asio::io_context::executor_type>;
  std::shared_ptr<server_core> core; ///< the strand lives in it
  strand_type strand;
  std::weak_ptr<connection> where;
  std::uint64_t number = 0;
  std::atomic<bool> taken{false};     ///< somebody answers, or has answered
  std::atomic<bool> streaming{false}; ///< a stream is open: neither finished nor left by its peer
  std::atomic<std::size_t> waiting_bytes{0};

  open_request(std::shared_ptr<server_core> its, strand_type in)
      : core(std::move(its)), strand(std::move(in)) {}
  ~open_request();
  /// Runs `what(connection)` in the connection's strand, if it is still there then.
  template <class F>
  void post(F what) {
    asio::post(strand, [target = where, what = std::move(what)]() mutable {
      if (auto there = target.lock()) what(*there);
    });
  }
};

namespace {

/// IMF-fixdate, for example "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7).
std::string date() {
  const auto now = static_cast<std::time_t>(
      std::chrono::duration_cast<std::chrono::seconds>(system_clock().wall()).count());
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

enum class body_framing : std::uint8_t { length, chunked, until_close };

std::string head_of(const response& what, body_framing framing, bool keep, bool http_1_0) {
  std::string out =
      "HTTP/1.1 " + std::to_string(what.status) + " " + std::string(reason(what.status)) + "\r\n";
  const auto add = [&](std::string_view name, std::string_view value) {
    const auto clean =
        [](std::string_view text) { // a line break would start a header, or a response, of its own
          std::string kept;
          for (char c : text)
            if (static_cast<unsigned char>(c) >= 32 || c == '\t') kept += c;
          return kept;
        };
    out += clean(name) + ": " + clean(value) + "\r\n";
  };
  add("Date", date());
  if (!what.content_type.empty() && (framing != body_framing::length || !what.body.empty()))
    add("Content-Type", what.content_type);
  if (framing == body_framing::chunked) add("Transfer-Encoding", "chunked");
  if (framing == body_framing::length && what.status != 204 && what.status != 304)
    add("Content-Length", std::to_string(what.body.size()));
  if (!keep)
    add("Connection", "close");
  else if (http_1_0)
    add("Connection", "keep-alive");
  for (auto& [name, value] : what.headers) add(name, value);
  return out + "\r\n";
}

std::string chunk(std::string_view piece) {
  char size[32];
  const int n = std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
  return std::string(size, static_cast<std::size_t>(n)) + std::string(piece) + "\r\n";
}

bool is_loopback_name(std::string_view name) {
  if (name == "localhost" || name == "[::1]" || name == "::1") return true;
  error_code bad;
  const auto address = asio::ip::make_address(std::string(name), bad);
  return !bad && address.is_loopback();
}

/// "localhost:80" -> "localhost", "[::1]:80" -> "[::1]".
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, std::min(host.find(']'), host.size() - 1) + 1);
  return host.substr(0, host.find(':'));
}

} // namespace

/// One client. Everything runs in its strand.
class connection : public std::enable_shared_from_this<connection> {
public:
  connection(std::shared_ptr<server_core> core, open_request::strand_type strand, tcp::socket socket)
      : core_(std::move(core)), strand_(std::move(strand)), socket_(std::move(socket)) {
    std::scoped_lock lock(core_->guard);
    core_->connections.insert(this);
  }
  ~connection() {
    std::scoped_lock lock(core_->guard);
    core_->connections.erase(this);
    core_->fewer.notify_all();
  }

  void begin() {
    alive_ = shared_from_this();
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    const auto peer = socket_.remote_endpoint(ignored);
    peer_ = peer.address().to_string() + ":" + std::to_string(peer.port());
    asio::dispatch(strand_, [self = shared_from_this()] { self->read_header(); });
  }

  /// From the server's stop, in any thread: closes if nothing is under way, or in any case.
  void wind_down(bool in_any_case) {
    asio::post(strand_, [self = shared_from_this(), in_any_case] {
      const bool untouched = self->state_ == state::reading && self->nothing_came();
      if (in_any_case || self->state_ == state::idle || untouched) self->close();
    });
  }

  // -- from responders, in the strand. A number that is not current any more comes too late.
  void answer(std::uint64_t number, const response& what) {
    if (number != number_ || state_ != state::answering) return;
    state_ = state::writing;
    auto text = head_of(what, body_framing::length, keep_, http_1_0_);
    if (!head_only_ && what.status != 204 && what.status != 304) text += what.body;
    write(std::move(text), [](connection& self) { self.answered(); });
  }
  void start_stream(std::uint64_t number, response head) {
    if (number != number_ || state_ != state::answering) return;
    state_ = state::streaming;
    disarm();
    if (http_1_0_) keep_ = false; // its end is the end of the connection
    const auto first = std::exchange(head.body, {});
    write(head_of(head, http_1_0_ ? body_framing::until_close : body_framing::chunked, keep_, http_1_0_), {});
    if (!first.empty()) write_piece(number, first);
  }
  void write_piece(std::uint64_t number, const std::string& piece) {
    if (number != number_ || state_ != state::streaming) return;
    const auto taken = [n = piece.size(), whose = current_](connection&) {
      if (auto it = whose.lock()) it->waiting_bytes -= n;
    };
    if (head_only_)
      taken(*this);
    else
      write(http_1_0_ ? piece : chunk(piece), taken);
  }
  void finish_stream(std::uint64_t number) {
    if (number != number_ || state_ != state::streaming) return;
    state_ = state::writing;
    write(http_1_0_ || head_only_ ? "" : "0\r\n\r\n", [](connection& self) { self.answered(); });
  }
  /// The stream's owner is gone without an end: the peer must see that it is not whole.
  void abort_stream(std::uint64_t number) {
    if (number == number_ && state_ == state::streaming) close();
  }

private:
  enum class state : std::uint8_t { idle, reading, answering, streaming, writing, draining, closed };
  struct outgoing {
    std::string text;
    std::function<void(connection&)> then;
  };

  // -- time
  void arm(duration limit, void (connection::*then)()) {
    timer_.expires_after(limit);
    timer_.async_wait([weak = weak_from_this(), then, life = ++timer_life_](error_code) {
      auto self = weak.lock(); // the life: an expired wait may be queued already when it is cancelled
      if (self && self->timer_life_ == life && self->state_ != state::closed) ((*self).*then)();
    });
  }
  void disarm() {
    ++timer_life_;
    timer_.cancel();
  }
  void on_read_timeout() {
    timed_out_ = true;
    error_code ignored;
    socket_.cancel(ignored);
  }
  void on_answer_timeout() {
    auto whose = current_.lock();
    if (whose && !whose->taken.exchange(true))
      answer(number_, problem(503, "Service Unavailable", "the request was not answered in time"));
  }

  // -- reading
  bool nothing_came() const { return buffer_.size() == 0 && !(parser_ && parser_->got_some()); }

  void wait_for_request() {
    if (core_->stopping) return close();
    if (buffer_.size() > 0) return read_header(); // pipelined
    state_ = state::idle;
    parser_.reset();
    arm(core_->options.idle_deadline, &connection::close);
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code code) {
      if (self->state_ != state::idle) return;
      if (code) return self->close();
      self->read_header();
    });
  }

  void read_header() {
    state_ = state::reading;
    timed_out_ = false;
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(core_->options.header_limit));
    parser_->body_limit(core_->options.body_limit);
    arm(core_->options.header_deadline, &connection::on_read_timeout);
    wire::async_read_header(socket_, buffer_, *parser_,
                            [self = shared_from_this()](error_code code, std::size_t) {
                              if (self->state_ == state::closed) return;
                              if (code) return self->refuse_broken(code);
                              self->on_header();
                            });
  }

  void on_header() {
    const auto& message = parser_->get();
    http_1_0_ = message.version() < 11;
    keep_ = message.keep_alive();
    const auto hosts = message.count(wire::field::host);
    if (hosts > 1 || (!http_1_0_ && hosts == 0))
      return refuse(problem(400, "Bad Request", "expected exactly one Host header"));
    if (auto why = stranger(); !why.empty()) return refuse(problem(403, "Forbidden", why));
    if (parser_->is_done()) return dispatch();
    arm(core_->options.body_deadline, &connection::on_read_timeout);
    if (boost::beast::iequals(message[wire::field::expect], "100-continue"))
      write("HTTP/1.1 100 Continue\r\n\r\n", [](connection& self) { self.read_body(); });
    else
      read_body();
  }

  void read_body() {
    wire::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](error_code code, std::size_t) {
      if (self->state_ == state::closed) return;
      if (code) return self->refuse_broken(code);
      self->dispatch();
    });
  }

  static std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

  /// Why this request comes from a web page that has no business here; empty if it does not.
  std::string stranger() const {
    const auto& message = parser_->get();
    const auto host = view(message[wire::field::host]), name = without_port(host);
    const auto& known = core_->options.host_names;
    const bool named = std::find(known.begin(), known.end(), name) != known.end();
    if (core_->bound.address().is_loopback() && !host.empty() && !named && !is_loopback_name(name))
      return "found the host \"" + std::string(name) +
             "\", expected a name of this machine's loopback address";
    const auto origin = view(message[wire::field::origin]);
    const auto slashes = origin.find("://");
    if (!origin.empty() && (slashes == origin.npos || origin.substr(slashes + 3) != host))
      return "found the origin \"" + std::string(origin) + "\", expected this server's own";
    return {};
  }

  void dispatch() {
    auto message = parser_->release();
    request what;
    what.method = view(message.method_string());
    what.body = std::move(message.body());
    what.peer = peer_;
    for (auto& field : message) what.headers.emplace_back(view(field.name_string()), view(field.value()));
    head_only_ = what.method == "HEAD";
    state_ = state::answering;
    arm(core_->options.answer_deadline, &connection::on_answer_timeout);
    auto opened = std::make_shared<open_request>(core_, strand_);
    opened->where = weak_from_this();
    opened->number = ++number_;
    current_ = opened;
    const responder answer(std::move(opened));
    if (auto fine = take_target(view(message.target()), what); !fine) {
      answer.send(problem(400, "Bad Request", fine.error().message));
      return;
    }
    try {
      core_->routes.route(what, answer);
    } catch (...) {
      answer.send(problem(500, "Internal Server Error"));
    }
  }

  static expected<void> take_target(std::string_view target, request& into) {
    if (target.starts_with("http://")) { // absolute form (RFC 9112, 3.2.2)
      const auto slash = target.find('/', 7);
      target = slash == target.npos ? std::string_view("/") : target.substr(slash);
    }
    if (target == "*" && into.method == "OPTIONS") target = "/";
    if (!target.starts_with('/')) return fail(errc::invalid, "expected a target that begins with /");
    target = target.substr(0, target.find('#'));
    const auto mark = std::min(target.find('?'), target.size());
    auto path = percent_decode(target.substr(0, mark));
    if (!path) return fail(path.error());
    into.path = std::move(*path);
    std::string query(target.substr(std::min(mark + 1, target.size())));
    std::replace(query.begin(), query.end(), '+', ' ');
    for (std::size_t at = 0; at < query.size();) {
      const auto end = std::min(query.find('&', at), query.size());
      const auto pair = std::string_view(query).substr(at, end - at);
      const auto equals = std::min(pair.find('='), pair.size());
      auto key = percent_decode(pair.substr(0, equals)),
           value = percent_decode(pair.substr(std::min(equals + 1, pair.size())));
      if (!key || !value) return fail(key ? value.error() : key.error());
      if (!pair.empty()) into.query.emplace_back(std::move(*key), std::move(*value));
      at = end + 1;
    }
    return {};
  }

  // -- refusing a request that no handler sees
  void refuse_broken(error_code code) {
    using wire::error;
    const auto& limits = core_->options;
    if (timed_out_)
      return nothing_came() ? close()
                            : refuse(problem(408, "Request Timeout", "the request did not arrive in time"));
    if (code == error::body_limit)
      return refuse(problem(413, "Content Too Large",
                            "expected at most " + std::to_string(limits.body_limit) + " bytes"));
    if (code == error::header_limit || code == error::buffer_overflow)
      return refuse(
          problem(431, "Request Header Fields Too Large",
                  "expected a header of at most " + std::to_string(limits.header_limit) + " bytes"));
    if (code == error::bad_version)
      return refuse(problem(505, "HTTP Version Not Supported", "expected HTTP/1.1"));
    const bool peer_left = code == error::end_of_stream || code == error::partial_message;
    if (peer_left || code.category() != make_error_code(error::bad_method).category()) return close();
    refuse(problem(400, "Bad Request", "this is not HTTP: " + code.message()));
  }

  void refuse(const response& what) {
    keep_ = false;
    state_ = state::writing;
    write(head_of(what, body_framing::length, false, http_1_0_) + what.body,
          [](connection& self) { self.answered(); });
  }

  // -- writing
  void write(std::string text, std::function<void(connection&)> then) {
    out_.push_back({std::move(text), std::move(then)});
    if (out_.size() == 1) write_next();
  }
  void write_next() {
    write_timer_.expires_after(core_->options.write_deadline);
    write_timer_.async_wait([weak = weak_from_this(), life = ++write_life_](error_code) {
      if (auto self = weak.lock(); self && self->write_life_ == life) self->close();
    });
    asio::async_write(socket_, asio::buffer(out_.front().text),
                      [self = shared_from_this()](error_code code, std::size_t) {
                        ++self->write_life_;
                        self->write_timer_.cancel();
                        if (self->state_ == state::closed) return;
                        if (code) return self->close();
                        const auto then = std::move(self->out_.front().then);
                        self->out_.pop_front();
                        if (!self->out_.empty()) self->write_next();
                        if (then) then(*self);
                      });
  }
  void answered() {
    disarm();
    end_stream();
    if (keep_ && !core_->stopping) return wait_for_request();
    drain();
  }
  void end_stream() {
    if (auto whose = current_.lock()) whose->streaming = false;
    current_.reset();
  }

  /// To close over unread bytes resets the connection, and the peer may lose the answer with it: they are
  /// read for a moment.
  void drain() {
    state_ = state::draining;
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    arm(std::chrono::seconds(2), &connection::close);
    drain_some(0);
  }
  void drain_some(std::size_t so_far) {
    socket_.async_read_some(asio::buffer(scratch_),
                            [self = shared_from_this(), so_far](error_code code, std::size_t n) {
                              if (self->state_ == state::closed) return;
                              if (code || so_far + n > (std::size_t{16} << 20)) return self->close();
                              self->drain_some(so_far + n);
                            });
  }

  void close() {
    if (state_ == state::closed) return;
    state_ = state::closed;
    end_stream();
    disarm();
    ++write_life_;
    write_timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
    alive_.reset(); // whoever called holds a reference of their own
  }

  std::shared_ptr<connection> alive_; ///< until it is closed: while a handler thinks, nothing else holds it
  std::shared_ptr<server_core> core_;
  open_request::strand_type strand_;
  tcp::socket socket_;
  asio::steady_timer timer_{strand_}, write_timer_{strand_};
  std::uint64_t timer_life_ = 0, write_life_ = 0;
  boost::beast::flat_buffer buffer_{core_->options.header_limit + (64 << 10)};
  std::optional<wire::request_parser<wire::string_body>> parser_;
  std::deque<outgoing> out_;
  std::weak_ptr<open_request> current_;
  std::uint64_t number_ = 0; ///< of the request that is current, or was last
  std::array<char, 4096> scratch_;
  std::string peer_;
  state state_ = state::reading;
  bool keep_ = false, http_1_0_ = false, head_only_ = false, timed_out_ = false;
};

// -- what a handler holds

open_request::~open_request() {
  if (!taken)
    post([n = number](connection& c) {
      c.answer(n, problem(503, "Service Unavailable", "the request was dropped"));
    });
  else if (streaming)
    post([n = number](connection& c) { c.abort_stream(n); });
}

bool responder::send(response what) const {
  if (!it_ || it_->where.expired() || it_->taken.exchange(true)) return false;
  it_->post([n = it_->number, what = std::move(what)](connection& c) { c.answer(n, what); });
  return true;
}

body_stream responder::start(response head) const {
  if (!it_ || it_->where.expired() || it_->taken.exchange(true)) return {};
  it_->streaming = true;
  it_->waiting_bytes += head.body.size();
  it_->post([n = it_->number, head = std::move(head)](connection& c) mutable {
    c.start_stream(n, std::move(head));
  });
  return body_stream(it_);
}

bool body_stream::open() const { return it_ && it_->streaming && !it_->where.expired(); }

bool body_stream::write(std::string piece) {
  if (!open()) return false;
  if (piece.empty()) return true; // an empty chunk would end the body
  const auto waiting = it_->waiting_bytes.load();
  if (waiting > 0 && waiting + piece.size() > it_->core->options.stream_limit) return false;
  it_->waiting_bytes += piece.size();
  it_->post([n = it_->number, piece = std::move(piece)](connection& c) { c.write_piece(n, piece); });
  return true;
}

void body_stream::finish() {
  if (!it_ || !it_->streaming.exchange(false)) return;
  it_->post([n = it_->number](connection& c) { c.finish_stream(n); });
}

// -- the server

namespace {

/// Processes that are started later must not inherit a socket: a listening one would keep the port.
void close_on_exec(int fd) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); }

void turn_away(tcp::socket& socket) {
  auto out = problem(503, "Service Unavailable", "too many connections");
  out.headers.emplace_back("Retry-After", "1");
  const auto text = head_of(out, body_framing::length, false, false) + out.body;
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(text), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void accept_next(const std::shared_ptr<server_core>& core) {
  auto strand = asio::make_strand(core->io);
  core->acceptor.async_accept(strand, [core, strand](error_code code, tcp::socket socket) {
    if (core->stopping || code == asio::error::operation_aborted) return;
    if (code) { // out of descriptors, most likely: others will close theirs
      core->accept_again.expires_after(std::chrono::milliseconds(100));
      core->accept_again.async_wait([core](error_code cancelled) {
        if (!cancelled) accept_next(core);
      });
      return;
    }
    close_on_exec(socket.native_handle());
    std::unique_lock lock(core->guard);
    const bool room = core->connections.size() < core->options.max_connections;
    lock.unlock();
    if (room)
      std::make_shared<connection>(core, strand, std::move(socket))->begin();
    else
      turn_away(socket);
    accept_next(core);
  });
}

expected<void> bind(server_core& core) {
  const auto& options = core.options;
  const std::string place = options.address + ":" + std::to_string(options.port);
  error_code code;
  const auto address =
      asio::ip::make_address(options.address == "localhost" ? "127.0.0.1" : options.address, code);
  if (code)
    return fail(errc::invalid,
                "found the address \"" + options.address + "\", expected an IP address such as 127.0.0.1");
  auto& acceptor = core.acceptor;
  const tcp::endpoint wanted(address, options.port);
  acceptor.open(wanted.protocol(), code);
  if (!code) close_on_exec(acceptor.native_handle());
  if (!code) acceptor.set_option(tcp::acceptor::reuse_address(true), code);
  if (!code) acceptor.bind(wanted, code);
  if (!code) acceptor.listen(asio::socket_base::max_listen_connections, code);
  if (code == asio::error::address_in_use)
    return fail(errc::in_use,
                place + " is in use by another process; choose another port, or 0 for any free one");
  if (code) return fail(errc::io, "cannot listen on " + place + ": " + code.message());
  core.bound = acceptor.local_endpoint(code);
  return {};
}

} // namespace

server::server(std::shared_ptr<server_core> it) : core_(std::move(it)) {}

expected<std::unique_ptr<server>> server::start(server_options options, router routes) {
  auto core = std::make_shared<server_core>(std::move(options), std::move(routes));
  if (auto bound = bind(*core); !bound) return fail(bound.error());
  accept_next(core);
  for (int i = 0; i < std::max(core->options.threads, 1); ++i)
    core->threads.emplace_back([io = &core->io] { io->run(); });
  return std::unique_ptr<server>(new server(std::move(core)));
}

server::~server() { stop(std::chrono::seconds(1)); }

std::uint16_t server::port() const { return core_->bound.port(); }

std::string server::url() const {
  const auto address = core_->bound.address();
  return "http://" + (address.is_v6() ? "[" + address.to_string() + "]" : address.to_string()) + ":" +
         std::to_string(port());
}

void server::stop(duration grace) {
  if (core_->stopping.exchange(true)) return;
  asio::post(core_->acceptor.get_executor(), [core = core_] {
    error_code ignored;
    core->acceptor.close(ignored);
    core->accept_again.cancel();
  });
  const auto wind_down = [&](bool in_any_case) { // under the lock: a connection waits for it before it goes
    for (auto* one : core_->connections)
      if (auto alive = one->weak_from_this().lock()) alive->wind_down(in_any_case);
  };
  std::unique_lock lock(core_->guard);
  wind_down(false);
  core_->fewer.wait_for(lock, grace, [&] { return core_->connections.empty(); });
  wind_down(true);
  lock.unlock();
  for (auto& thread : core_->threads) thread.join(); // each ends with the last piece of work
  core_->threads.clear();
}

} // namespace troupe::http

#include "runtime/base/http_connection.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>

namespace troupe::http {

namespace {

bool is_loopback_name(std::string_view name) {
  if (name == "localhost" || name == "[::1]" || name == "::1") return true;
  error_code bad;
  const auto address = asio::ip::make_address(std::string(name), bad);
  return !bad && address.is_loopback();
}

} // namespace

connection::connection(std::shared_ptr<server_core> core, open_request::strand_type strand,
                       tcp::socket socket)
    : core_(std::move(core)), strand_(std::move(strand)), socket_(std::move(socket)) {
  std::scoped_lock lock(core_->guard);
  core_->connections.insert(this);
}

connection::~connection() {
  std::scoped_lock lock(core_->guard);
  core_->connections.erase(this);
  core_->fewer.notify_all();
}

void connection::begin() {
  alive_ = shared_from_this();
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  if (const int size = core_->options.send_buffer; size > 0)
    socket_.set_option(asio::socket_base::send_buffer_size(size), ignored);
  const auto peer = socket_.remote_endpoint(ignored);
  peer_ = peer.address().to_string() + ":" + std::to_string(peer.port());
  asio::dispatch(strand_, [self = shared_from_this()] { self->read_header(); });
}

void connection::wind_down(bool in_any_case) {
  asio::post(strand_, [self = shared_from_this(), in_any_case] {
    const bool untouched = self->state_ == state::reading && self->nothing_came();
    if (in_any_case || self->state_ == state::idle || untouched) self->close();
  });
}

// -- from responders, in the strand. A number that is not current any more comes too late.

void connection::answer(std::uint64_t number, const response& raw) {
  if (number != number_ || state_ != state::answering) return;
  const auto what = formed(raw);
  state_ = state::writing;
  auto text = head_of(what, body_framing::length, keep_, http_1_0_);
  if (!head_only_ && what.status != 204 && what.status != 304) text += what.body;
  write(std::move(text), [](connection& self) { self.answered(); });
}

void connection::start_stream(std::uint64_t number, response head) {
  if (number != number_ || state_ != state::answering) return;
  state_ = state::streaming;
  disarm();
  if (http_1_0_) keep_ = false; // its end is the end of the connection
  const auto first = std::exchange(head.body, {});
  write(head_of(head, http_1_0_ ? body_framing::until_close : body_framing::chunked, keep_, http_1_0_), {});
  if (!first.empty()) write_piece(number, first);
}

void connection::write_piece(std::uint64_t number, const std::string& piece) {
  if (number != number_ || state_ != state::streaming) return;
  const auto taken = [n = piece.size(), whose = current_](connection&) {
    if (auto it = whose.lock()) it->waiting_bytes -= n;
  };
  if (head_only_)
    taken(*this);
  else
    write(http_1_0_ ? piece : chunk(piece), taken);
}

void connection::finish_stream(std::uint64_t number) {
  if (number != number_ || state_ != state::streaming) return;
  state_ = state::writing;
  write(http_1_0_ || head_only_ ? "" : "0\r\n\r\n", [](connection& self) { self.answered(); });
}

void connection::abort_stream(std::uint64_t number) {
  if (number == number_ && state_ == state::streaming) close();
}

void connection::watch_peer(std::uint64_t number, std::function<void()> gone) {
  if (state_ == state::closed) return gone();
  if (number != number_ || (state_ != state::answering && state_ != state::streaming)) return;
  gone_ = std::move(gone);
  wait_for_peer(number);
}

void connection::wait_for_peer(std::uint64_t number) {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this(), number](error_code code) {
    const bool open = self->state_ == state::answering || self->state_ == state::streaming;
    if (!open || self->number_ != number) return;
    if (code) return self->close();
    char byte; // without waiting: the wait may end for bytes that were read already
    const auto n = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return self->wait_for_peer(number);
    if (n <= 0) self->close();
  });
}

// -- time

void connection::arm(duration limit, void (connection::*then)()) {
  timer_.expires_after(limit);
  timer_.async_wait([weak = weak_from_this(), then, life = ++timer_life_](error_code) {
    auto self = weak.lock(); // the life: an expired wait may be queued already when it is cancelled
    if (self && self->timer_life_ == life && self->state_ != state::closed) ((*self).*then)();
  });
}

void connection::disarm() {
  ++timer_life_;
  timer_.cancel();
}

void connection::on_read_timeout() {
  timed_out_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

void connection::on_answer_timeout() {
  auto whose = current_.lock();
  if (whose && !whose->taken.exchange(true))
    answer(number_, problem(503, "Service Unavailable", "the request was not answered in time"));
}

// -- reading

void connection::wait_for_request() {
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

void connection::read_header() {
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

void connection::on_header() {
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

void connection::read_body() {
  wire::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](error_code code, std::size_t) {
    if (self->state_ == state::closed) return;
    if (code) return self->refuse_broken(code);
    self->dispatch();
  });
}

std::string connection::stranger() const {
  const auto& message = parser_->get();
  const auto host = view(message[wire::field::host]), name = without_port(host);
  const auto& known = core_->options.host_names;
  const bool named = std::find(known.begin(), known.end(), name) != known.end();
  if (core_->bound.address().is_loopback() && !host.empty() && !named && !is_loopback_name(name))
    return "found the host \"" + std::string(name) + "\", expected a name of this machine's loopback address";
  const auto origin = view(message[wire::field::origin]);
  const auto slashes = origin.find("://");
  if (!origin.empty() && (slashes == origin.npos || origin.substr(slashes + 3) != host))
    return "found the origin \"" + std::string(origin) + "\", expected this server's own";
  return {};
}

void connection::dispatch() {
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

// -- refusing a request that no handler sees

void connection::refuse_broken(error_code code) {
  using wire::error;
  const auto& limits = core_->options;
  if (timed_out_)
    return nothing_came() ? close()
                          : refuse(problem(408, "Request Timeout", "the request did not arrive in time"));
  if (code == error::body_limit)
    return refuse(problem(413, "Content Too Large",
                          "expected at most " + std::to_string(limits.body_limit) + " bytes"));
  if (code == error::header_limit || code == error::buffer_overflow)
    return refuse(problem(431, "Request Header Fields Too Large",
                          "expected a header of at most " + std::to_string(limits.header_limit) + " bytes"));
  if (code == error::bad_version)
    return refuse(problem(505, "HTTP Version Not Supported", "expected HTTP/1.1"));
  const bool peer_left = code == error::end_of_stream || code == error::partial_message;
  if (peer_left || code.category() != make_error_code(error::bad_method).category()) return close();
  refuse(problem(400, "Bad Request", "this is not HTTP: " + code.message()));
}

response connection::formed(const response& what) const {
  const auto& form = core_->options.error_form;
  return form && what.content_type == "application/problem+json" ? form(what) : what;
}

void connection::refuse(const response& raw) {
  const auto what = formed(raw);
  keep_ = false;
  state_ = state::writing;
  write(head_of(what, body_framing::length, false, http_1_0_) + what.body,
        [](connection& self) { self.answered(); });
}

// -- writing

void connection::write(std::string text, std::function<void(connection&)> then) {
  out_.push_back({std::move(text), std::move(then)});
  if (out_.size() == 1) write_next();
}

void connection::write_next() {
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

void connection::answered() {
  disarm();
  gone_ = nullptr;
  end_stream();
  if (keep_ && !core_->stopping) return wait_for_request();
  drain();
}

void connection::end_stream() {
  if (auto whose = current_.lock()) whose->streaming = false;
  current_.reset();
}

void connection::drain() {
  state_ = state::draining;
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  arm(std::chrono::seconds(2), &connection::close);
  drain_some(0);
}

void connection::drain_some(std::size_t so_far) {
  socket_.async_read_some(asio::buffer(scratch_),
                          [self = shared_from_this(), so_far](error_code code, std::size_t n) {
                            if (self->state_ == state::closed) return;
                            if (code || so_far + n > (std::size_t{16} << 20)) return self->close();
                            self->drain_some(so_far + n);
                          });
}

void connection::close() {
  if (state_ == state::closed) return;
  state_ = state::closed;
  end_stream();
  disarm();
  ++write_life_;
  write_timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  if (const auto gone = std::exchange(gone_, nullptr)) gone();
  alive_.reset(); // whoever called holds a reference of their own
}

} // namespace troupe::http

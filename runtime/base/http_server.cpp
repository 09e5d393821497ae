#include "runtime/base/http.hpp"

#include "runtime/base/http_connection.hpp"
#include <algorithm>
#include <fcntl.h>

namespace troupe::http {

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

void responder::on_gone(std::function<void()> what) const {
  if (!it_) return;
  asio::post(it_->strand, [target = it_->where, n = it_->number, what = std::move(what)] {
    if (auto there = target.lock())
      there->watch_peer(n, what);
    else
      what();
  });
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

void turn_away(const server_options& options, tcp::socket& socket) {
  auto out = problem(503, "Service Unavailable", "too many connections");
  if (options.error_form) out = options.error_form(std::move(out));
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
      turn_away(core->options, socket);
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
  const auto wind_down = [&](bool in_any_case) {
    std::vector<std::shared_ptr<connection>> alive; // let go outside of the lock: their end takes it
    {
      std::scoped_lock lock(core_->guard);
      for (auto* one : core_->connections)
        if (auto still = one->weak_from_this().lock()) alive.push_back(std::move(still));
    }
    for (auto& one : alive) one->wind_down(in_any_case);
  };
  wind_down(false);
  {
    std::unique_lock lock(core_->guard);
    core_->fewer.wait_for(lock, grace, [&] { return core_->connections.empty(); });
  }
  wind_down(true);
  for (auto& thread : core_->threads) thread.join(); // each ends with the last piece of work
  core_->threads.clear();
}

} // namespace troupe::http

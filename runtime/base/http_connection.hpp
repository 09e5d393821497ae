#pragma once

#include "runtime/base/http_wire.hpp"
#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

/// The inside of the server: one connection is one chain of asynchronous steps in one strand.
///
///   idle -> reading -> answering -> writing -> idle | draining -> closed
///                               \-> streaming -> writing
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

/// One client. Everything runs in its strand.
class connection : public std::enable_shared_from_this<connection> {
public:
  connection(std::shared_ptr<server_core> core, open_request::strand_type strand, tcp::socket socket);
  ~connection();

  void begin();

  /// From the server's stop, in any thread: closes if nothing is under way, or in any case.
  void wind_down(bool in_any_case);

  // -- from responders, in the strand. A number that is not current any more comes too late.
  void answer(std::uint64_t number, const response& what);
  void start_stream(std::uint64_t number, response head);
  void write_piece(std::uint64_t number, const std::string& piece);
  void finish_stream(std::uint64_t number);
  /// The stream's owner is gone without an end: the peer must see that it is not whole.
  void abort_stream(std::uint64_t number);
  /// `gone` runs if the peer leaves before the answer is complete.
  void watch_peer(std::uint64_t number, std::function<void()> gone);

private:
  void wait_for_peer(std::uint64_t number);
  enum class state : std::uint8_t { idle, reading, answering, streaming, writing, draining, closed };
  struct outgoing {
    std::string text;
    std::function<void(connection&)> then;
  };

  // -- time
  void arm(duration limit, void (connection::*then)());
  void disarm();
  void on_read_timeout();
  void on_answer_timeout();

  // -- reading
  bool nothing_came() const { return buffer_.size() == 0 && !(parser_ && parser_->got_some()); }
  void wait_for_request();
  void read_header();
  void on_header();
  void read_body();

  static std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

  /// Why this request comes from a web page that has no business here; empty if it does not.
  std::string stranger() const;

  void dispatch();

  // -- refusing a request that no handler sees
  void refuse_broken(error_code code);
  void refuse(const response& what);
  /// As the server's API has errors.
  response formed(const response& what) const;

  // -- writing
  void write(std::string text, std::function<void(connection&)> then);
  void write_next();
  void answered();
  void end_stream();

  /// To close over unread bytes resets the connection, and the peer may lose the answer with it: they are
  /// read for a moment.
  void drain();
  void drain_some(std::size_t so_far);
  void close();

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
  std::function<void()> gone_;
  std::array<char, 4096> scratch_;
  std::string peer_;
  state state_ = state::reading;
  bool keep_ = false, http_1_0_ = false, head_only_ = false, timed_out_ = false;
};

} // namespace troupe::http

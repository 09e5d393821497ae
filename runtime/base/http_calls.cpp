#include "runtime/base/http_calls.hpp"

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <map>
#include <optional>

namespace troupe::http {

namespace asio = boost::asio;
namespace wire = boost::beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

namespace {

struct address {
  std::string host, port, target;
};

expected<address> parse_url(std::string_view url) {
  constexpr std::string_view scheme = "http://";
  if (!url.starts_with(scheme))
    return fail(errc::invalid, "found the URL \"" + std::string(url) + "\", expected http://host:port/path");
  url.remove_prefix(scheme.size());
  const auto end = std::min(url.find_first_of("/?"), url.size());
  const auto authority = url.substr(0, end);
  std::string target(url.substr(end));
  if (!target.starts_with('/')) target.insert(0, "/");
  const auto bracket = authority.rfind(']');
  const auto colon = authority.find(':', bracket == authority.npos ? 0 : bracket);
  std::string host(authority.substr(0, std::min(colon, authority.size())));
  std::string port(colon == authority.npos ? "80" : authority.substr(colon + 1));
  const bool digits =
      !port.empty() && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  const bool clean = target.find_first_of(" \r\n") == target.npos && host.find_first_of(" \r\n") == host.npos;
  if (host.empty() || !digits || !clean)
    return fail(errc::invalid,
                "found the URL \"http://" + std::string(url) + "\", expected http://host:port/path");
  return address{host, port, target};
}

/// One request, as a chain of asynchronous steps. Whatever is still on its way keeps it alive.
struct exchange : std::enable_shared_from_this<exchange> {
  tcp::resolver resolver;
  tcp::socket socket;
  asio::steady_timer timer;
  boost::beast::flat_buffer buffer;
  wire::request<wire::string_body> question;
  wire::response_parser<wire::string_body> parser;
  std::function<void(expected<response>)> over; ///< empty once it has ended, or was dropped
  std::string url;

  explicit exchange(asio::io_context& io) : resolver(io), socket(io), timer(io) {}

  void end(expected<response> with) {
    if (auto tell = std::exchange(over, {})) tell(std::move(with));
    close();
  }
  void close() {
    error_code ignored;
    timer.cancel();
    resolver.cancel();
    socket.close(ignored);
  }
  void fail_with(error_code why) {
    end(fail(errc::unavailable, "no answer from " + url + ": " + why.message()));
  }

  void run(const address& to, duration deadline) {
    auto host = to.host;
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    auto me = shared_from_this();
    timer.expires_after(deadline);
    timer.async_wait([me, deadline](error_code cancelled) {
      if (!cancelled)
        me->end(fail(errc::timeout,
                     "no answer from " + me->url + " within " + std::to_string(seconds(deadline)) + " s"));
    });
    resolver.async_resolve(host, to.port, [me](error_code code, tcp::resolver::results_type found) {
      if (!me->over) return;
      if (code) return me->fail_with(code);
      asio::async_connect(me->socket, found, [me](error_code failed, const tcp::endpoint&) {
        if (!me->over) return;
        if (failed) return me->fail_with(failed);
        me->send();
      });
    });
  }
  void send() {
    wire::async_write(socket, question, [me = shared_from_this()](error_code unsent, std::size_t) {
      if (!me->over) return;
      // A server that refuses early closes while we write; its answer may be there all the same.
      wire::async_read(me->socket, me->buffer, me->parser, [me, unsent](error_code unread, std::size_t) {
        if (!me->over) return;
        if (unread) return me->fail_with(unsent ? unsent : unread);
        me->end(me->taken());
      });
    });
  }
  response taken() {
    auto message = parser.release();
    response out;
    out.status = static_cast<int>(message.result_int());
    out.body = std::move(message.body());
    const auto view = [](boost::beast::string_view text) {
      return std::string_view(text.data(), text.size());
    };
    for (auto& field : message) out.headers.emplace_back(view(field.name_string()), view(field.value()));
    out.content_type = header_of(out.headers, "content-type");
    return out;
  }
};

} // namespace

struct calls::core {
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> working{io.get_executor()}; ///< `wait` waits
  std::map<number, std::shared_ptr<exchange>> open;
  std::vector<ended> over;
  number last = 0;
};

calls::calls() : core_(std::make_unique<core>()) {}

calls::~calls() {
  while (!core_->open.empty()) drop(core_->open.begin()->first);
}

calls::number calls::begin(const std::string& method, const std::string& url, const std::string& body,
                           const header_list& headers, duration deadline) {
  const auto which = ++core_->last;
  auto to = parse_url(url);
  if (!to) {
    core_->over.push_back({which, fail(to.error())});
    return which;
  }
  auto it = std::make_shared<exchange>(core_->io);
  it->url = url;
  it->parser.body_limit(std::uint64_t{64} << 20);
  it->parser.skip(method == "HEAD");
  it->question.version(11);
  it->question.method_string(method);
  it->question.target(to->target);
  it->question.set(wire::field::host, to->port == "80" ? to->host : to->host + ":" + to->port);
  it->question.set(wire::field::user_agent, "troupe");
  it->question.keep_alive(false);
  for (auto& [name, value] : headers) it->question.set(name, value);
  it->question.body() = body;
  it->question.prepare_payload();
  it->over = [core = core_.get(), which](expected<response> what) {
    core->open.erase(which);
    core->over.push_back({which, std::move(what)});
  };
  core_->open.emplace(which, it);
  it->run(*to, deadline);
  return which;
}

bool calls::drop(number which) {
  if (std::erase_if(core_->over, [which](const ended& one) { return one.which == which; }) > 0) return true;
  const auto found = core_->open.find(which);
  if (found == core_->open.end()) return false;
  const auto it = found->second;
  core_->open.erase(found);
  it->over = {};
  it->close();
  return true;
}

std::size_t calls::open() const { return core_->open.size(); }

std::vector<calls::ended> calls::wait(duration patience) {
  auto& io = core_->io;
  io.poll();
  const auto end = std::chrono::steady_clock::now() + patience;
  while (core_->over.empty() && io.run_one_until(end) > 0)
    io.poll(); // what has ended together comes out together
  return std::exchange(core_->over, {});
}

expected<void> check_url(std::string_view url) {
  if (auto to = parse_url(url); !to) return fail(to.error());
  return {};
}

} // namespace troupe::http

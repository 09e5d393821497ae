#include "runtime/base/http.hpp"

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
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

/// One request, as a chain of asynchronous steps that the caller's deadline bounds.
struct exchange {
  asio::io_context io;
  tcp::resolver resolver{io};
  tcp::socket socket{io};
  boost::beast::flat_buffer buffer;
  wire::request<wire::string_body> question;
  wire::response_parser<wire::string_body> parser;
  std::optional<error_code> outcome;

  void run(const address& to) {
    auto host = to.host;
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    const auto done = [this](error_code code) { outcome = code; };
    resolver.async_resolve(host, to.port, [this, done](error_code code, tcp::resolver::results_type found) {
      if (code) return done(code);
      asio::async_connect(socket, found, [this, done](error_code failed, const tcp::endpoint&) {
        if (failed) return done(failed);
        wire::async_write(socket, question, [this, done](error_code unsent, std::size_t) {
          // A server that refuses early closes while we write; its answer may be there all the same.
          wire::async_read(socket, buffer, parser, [done, unsent](error_code unread, std::size_t) {
            done(unread && unsent ? unsent : unread);
          });
        });
      });
    });
  }
};

} // namespace

expected<response> fetch(const std::string& method, const std::string& url, const std::string& body,
                         const header_list& headers, duration deadline) {
  auto to = parse_url(url);
  if (!to) return fail(to.error());
  exchange it;
  it.parser.body_limit(std::uint64_t{64} << 20);
  it.parser.skip(method == "HEAD");
  it.question.version(11);
  it.question.method_string(method);
  it.question.target(to->target);
  it.question.set(wire::field::host, to->port == "80" ? to->host : to->host + ":" + to->port);
  it.question.set(wire::field::user_agent, "troupe");
  it.question.keep_alive(false);
  for (auto& [name, value] : headers) it.question.set(name, value);
  it.question.body() = body;
  it.question.prepare_payload();
  it.run(*to);
  it.io.run_for(deadline);
  if (!it.outcome)
    return fail(errc::timeout,
                "no answer from " + url + " within " + std::to_string(seconds(deadline)) + " s");
  if (*it.outcome) return fail(errc::unavailable, "no answer from " + url + ": " + it.outcome->message());
  auto message = it.parser.release();
  response out;
  out.status = static_cast<int>(message.result_int());
  out.body = std::move(message.body());
  const auto view = [](boost::beast::string_view text) { return std::string_view(text.data(), text.size()); };
  for (auto& field : message) out.headers.emplace_back(view(field.name_string()), view(field.value()));
  out.content_type = header_of(out.headers, "content-type");
  return out;
}

expected<json::value> fetch_json(const std::string& method, const std::string& url, const json::value* body,
                                 duration deadline) {
  auto got = body ? fetch(method, url, json::dump(*body), {{"Content-Type", "application/json"}}, deadline)
                  : fetch(method, url, {}, {}, deadline);
  if (!got) return fail(got.error());
  auto parsed = got->body.empty() ? expected<json::value>(json::value()) : json::parse(got->body);
  if (got->status < 400) return parsed;
  std::string text = std::to_string(got->status) + " " + std::string(reason(got->status));
  if (parsed && parsed->is_object())
    if (auto detail = json::string_at(parsed->as_object(), "detail")) text += ": " + *detail;
  const auto code = [&] {
    switch (got->status) {
    case 404: return errc::not_found;
    case 409: return errc::conflict;
    case 429: return errc::exhausted;
    case 503: return errc::unavailable;
    case 504: return errc::timeout;
    case 507: return errc::disk_full;
    default: return got->status < 500 ? errc::invalid : errc::internal;
    }
  }();
  return fail(code, text);
}

} // namespace troupe::http

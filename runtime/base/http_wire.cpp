#include "runtime/base/http_wire.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace troupe::http {

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

} // namespace

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

expected<void> take_target(std::string_view target, request& into) {
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

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, std::min(host.find(']'), host.size() - 1) + 1);
  return host.substr(0, host.find(':'));
}

} // namespace troupe::http

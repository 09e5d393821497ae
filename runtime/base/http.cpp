#include "runtime/base/http.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>

namespace troupe::http {

namespace {

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) {
    return lower(static_cast<unsigned char>(x)) == lower(static_cast<unsigned char>(y));
  });
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < path.size();) { // every segment begins with its slash
    const auto end = std::min(path.find('/', at + 1), path.size());
    out.emplace_back(path.substr(at + 1, end - at - 1));
    at = end;
  }
  return out;
}

bool is_parameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

bool is_json(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  return same_name(type, "application/json") ||
         (type.size() > 5 && same_name(type.substr(type.size() - 5), "+json"));
}

} // namespace

std::string_view header_of(const header_list& headers, std::string_view name) {
  for (auto& [key, value] : headers)
    if (same_name(key, name)) return value;
  return {};
}

const std::string* request::query_value(std::string_view name) const {
  for (auto& [key, value] : query)
    if (key == name) return &value;
  return nullptr;
}

// -- responses

std::string_view reason(int status) {
  switch (status) {
  case 100: return "Continue";
  case 200: return "OK";
  case 201: return "Created";
  case 202: return "Accepted";
  case 204: return "No Content";
  case 304: return "Not Modified";
  case 400: return "Bad Request";
  case 401: return "Unauthorized";
  case 403: return "Forbidden";
  case 404: return "Not Found";
  case 405: return "Method Not Allowed";
  case 408: return "Request Timeout";
  case 409: return "Conflict";
  case 413: return "Content Too Large";
  case 415: return "Unsupported Media Type";
  case 422: return "Unprocessable Content";
  case 429: return "Too Many Requests";
  case 431: return "Request Header Fields Too Large";
  case 500: return "Internal Server Error";
  case 501: return "Not Implemented";
  case 503: return "Service Unavailable";
  case 504: return "Gateway Timeout";
  case 505: return "HTTP Version Not Supported";
  case 507: return "Insufficient Storage";
  default: return "Unknown";
  }
}

response json_response(int status, const json::value& body) {
  return {status, json::dump(body) + "\n", "application/json"};
}

response problem(int status, std::string_view title, std::string_view detail, json::object more) {
  json::object body{{"type", "about:blank"}, {"title", title}, {"status", status}};
  if (!detail.empty()) body["detail"] = detail;
  for (auto& [key, value] : more) body[key] = value;
  return {status, json::dump(body) + "\n", "application/problem+json"};
}

response problem(const error& what) {
  const auto status = [&] {
    switch (what.code) {
    case errc::invalid: return 400;
    case errc::not_found: return 404;
    case errc::conflict:
    case errc::in_use: return 409;
    case errc::timeout: return 504;
    case errc::unavailable:
    case errc::cancelled: return 503;
    case errc::exhausted: return 429;
    case errc::disk_full: return 507;
    default: return 500;
    }
  }();
  auto out = problem(status, reason(status), what.message, {{"code", to_string(what.code)}});
  if (status == 503 || status == 507) out.headers.emplace_back("Retry-After", "2");
  return out;
}

std::string server_sent_event(std::string_view event, std::string_view data) {
  std::string out;
  if (!event.empty()) out += "event: " + std::string(event) + "\n";
  for (std::size_t at = 0; at <= data.size();) {
    const auto end = std::min(data.find('\n', at), data.size());
    out += "data: " + std::string(data.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  return out + "\n";
}

expected<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned int byte = 0;
    const char* digits = text.data() + i + 1;
    if (i + 2 >= text.size() || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2)
      return fail(errc::invalid, "found a % in the URL that two hexadecimal digits do not follow");
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

// -- router

router& router::add(std::string method, std::string pattern, handler what, body_kind body) {
  auto segments = split_path(pattern);
  entries_.push_back({std::move(method), std::move(pattern), std::move(segments), std::move(what), body});
  return *this;
}

void router::route(request& what, const responder& answer) const {
  const auto segments = split_path(what.path);
  const auto fits = [&](const entry& it) {
    return std::equal(
        it.segments.begin(), it.segments.end(), segments.begin(), segments.end(),
        [](auto& mine, auto& found) { return is_parameter(mine) ? !found.empty() : mine == found; });
  };
  const auto parameters = [](const entry& it) {
    return std::count_if(it.segments.begin(), it.segments.end(), is_parameter);
  };
  const std::string method = what.method == "HEAD" ? "GET" : what.method;
  const entry* best = nullptr;
  std::vector<std::string> allowed;
  for (auto& it : entries_) {
    if (!fits(it)) continue;
    allowed.push_back(it.method);
    if (it.method == "GET") allowed.push_back("HEAD");
    if (it.method == method && (!best || parameters(it) < parameters(*best))) best = &it;
  }
  if (allowed.empty()) {
    answer.send(problem(404, "Not Found", "nothing is at " + what.path));
    return;
  }
  if (!best) {
    allowed.push_back("OPTIONS");
    std::sort(allowed.begin(), allowed.end());
    allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
    std::string list;
    for (auto& one : allowed) (list += list.empty() ? "" : ", ") += one;
    auto out = method == "OPTIONS" ? response{204, "", "", {}}
                                   : problem(405, "Method Not Allowed",
                                             what.path + " takes " + list + ", found " + what.method);
    out.headers.emplace_back("Allow", list);
    answer.send(std::move(out));
    return;
  }
  what.route = best->pattern;
  for (std::size_t i = 0; i < segments.size(); ++i)
    if (auto& mine = best->segments[i]; is_parameter(mine))
      what.params[mine.substr(1, mine.size() - 2)] = segments[i];
  if (best->body == body_kind::json && !what.body.empty()) {
    if (!is_json(what.header("content-type"))) {
      const auto type = std::string(what.header("content-type"));
      answer.send(problem(415, "Unsupported Media Type",
                          "found a body of type \"" + type + "\", expected application/json"));
      return;
    }
    auto parsed = json::parse(what.body);
    if (!parsed) {
      answer.send(problem(400, "Bad Request", parsed.error().message));
      return;
    }
    what.json = std::move(*parsed);
  }
  best->what(what, answer);
}

} // namespace troupe::http

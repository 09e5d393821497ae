#include "actors/serving/api_error.hpp"

namespace troupe::serving {

namespace {

const char* type_of(int status) {
  switch (status) {
  case 401: return "authentication_error";
  case 403: return "permission_error";
  case 429: return "rate_limit_error";
  default: return status < 500 ? "invalid_request_error" : "server_error";
  }
}

json::value word(const std::string& text) { return text.empty() ? json::value(nullptr) : json::value(text); }

} // namespace

json::object api_error::body() const {
  return {{"error", json::object{{"message", message},
                                 {"type", type_of(status)},
                                 {"param", word(param)},
                                 {"code", word(code)}}}};
}

http::response api_error::response() const {
  auto out = http::json_response(status, body());
  if (status == 429 || status == 503) out.headers.emplace_back("Retry-After", "2");
  if (status == 401) out.headers.emplace_back("WWW-Authenticate", "Bearer");
  return out;
}

api_error to_api(const error& what) {
  switch (what.code) {
  case errc::invalid: return {400, what.message, {}, {}};
  case errc::exhausted: return {400, what.message, {}, "context_length_exceeded"};
  case errc::not_found: return {404, what.message, {}, {}};
  case errc::conflict:
  case errc::in_use: return {409, what.message, {}, {}};
  case errc::timeout: return {504, what.message, {}, "timeout"};
  case errc::unavailable:
  case errc::cancelled: return {503, what.message, {}, "unavailable"};
  default: return {500, what.message, {}, {}};
  }
}

http::response in_api_form(http::response problem) {
  api_error out{problem.status, std::string(http::reason(problem.status)), {}, {}};
  if (auto parsed = json::parse(problem.body); parsed && parsed->is_object())
    if (auto detail = json::string_at(parsed->get_object(), "detail")) out.message += ": " + *detail;
  auto made = out.response();
  for (auto& header : problem.headers)
    if (http::header_of(made.headers, header.first).empty()) made.headers.push_back(std::move(header));
  return made;
}

} // namespace troupe::serving

#include "runtime/base/http_calls.hpp"

namespace troupe::http {

expected<response> fetch(const std::string& method, const std::string& url, const std::string& body,
                         const header_list& headers, duration deadline) {
  calls one;
  one.begin(method, url, body, headers, deadline);
  for (;;)
    for (auto& answer : one.wait(deadline)) return std::move(answer.what);
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

#pragma once

#include "runtime/base/http.hpp"

/// Requests and responses as bytes, without sockets.
namespace troupe::http {

enum class body_framing : std::uint8_t { length, chunked, until_close };

/// Status line and headers with the empty line behind them. Control characters in header values are left out.
std::string head_of(const response& what, body_framing framing, bool keep, bool http_1_0);
/// One chunk of a chunked body; an empty one would be its end.
std::string chunk(std::string_view piece);

/// Splits and decodes a request's target into its path and query. Error: invalid.
expected<void> take_target(std::string_view target, request& into);

/// "localhost:80" -> "localhost", "[::1]:80" -> "[::1]".
std::string_view without_port(std::string_view host);

} // namespace troupe::http

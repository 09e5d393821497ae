#pragma once

#include "runtime/base/http.hpp"
#include <optional>

namespace troupe::serving {

/// An error as OpenAI's API has it: {"error": {"message", "type", "param", "code"}} with a status.
struct api_error {
  int status = 400;
  std::string message;
  std::string param; ///< the field of the request; empty: null
  std::string code;  ///< a word that programs know; empty: null

  json::object body() const;
  http::response response() const;
};

template <class T>
using api_expected = tl::expected<T, api_error>;

inline tl::unexpected<api_error> refuse(std::string message, std::string param = {}, std::string code = {},
                                        int status = 400) {
  return tl::unexpected<api_error>(api_error{status, std::move(message), std::move(param), std::move(code)});
}

/// What an error of Troupe is to a caller of the API.
api_error to_api(const error& what);
/// A problem document of the HTTP kit in this form.
http::response in_api_form(http::response problem);

} // namespace troupe::serving

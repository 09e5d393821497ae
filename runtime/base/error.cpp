#include "runtime/base/error.hpp"

namespace troupe {

std::string_view to_string(errc code) {
  switch (code) {
  case errc::invalid: return "invalid";
  case errc::not_found: return "not_found";
  case errc::conflict: return "conflict";
  case errc::in_use: return "in_use";
  case errc::timeout: return "timeout";
  case errc::uncertain: return "uncertain";
  case errc::unavailable: return "unavailable";
  case errc::cancelled: return "cancelled";
  case errc::exhausted: return "exhausted";
  case errc::disk_full: return "disk_full";
  case errc::io: return "io";
  case errc::corrupt: return "corrupt";
  case errc::version: return "version";
  case errc::internal: return "internal";
  }
  return "internal";
}

errc parse_errc(std::string_view name) {
  for (int code = 0; code < static_cast<int>(errc::internal); ++code)
    if (to_string(static_cast<errc>(code)) == name) return static_cast<errc>(code);
  return errc::internal;
}

std::string to_string(const error& what) { return std::string(to_string(what.code)) + ": " + what.message; }

} // namespace troupe

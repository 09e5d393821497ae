#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace troupe {

/// What went wrong, as far as a caller could react to it. One value per sensible reaction, no more.
enum class errc : std::uint8_t {
  invalid,     ///< The caller's input is wrong: say what was found and what was expected; do not retry.
  not_found,   ///< The named thing does not exist.
  conflict,    ///< It contradicts what is already committed.
  in_use,      ///< Another owner holds it (a locked run directory, a taken port).
  timeout,     ///< The deadline passed. The effect is unknown.
  uncertain,   ///< It may have happened, and nobody can tell: not to be tried again.
  unavailable, ///< The actor or peer that should answer is gone; it may come back.
  cancelled,   ///< The caller, or a shutdown, withdrew the request.
  exhausted,   ///< A declared limit was reached (turns, tokens, bytes, slots).
  disk_full,   ///< No space: the run pauses, nothing acknowledged is lost.
  io,          ///< The operating system refused for another reason.
  corrupt,     ///< Stored bytes fail their checksum or make no sense.
  version,     ///< Written by another, incompatible version.
  internal,    ///< A bug in Troupe.
};

/// The name of a code, as it appears in logs, metrics and problem documents.
std::string_view to_string(errc code);
/// The inverse, for records; internal if there is no such name.
errc parse_errc(std::string_view name);

/// A failure as a value: a code to react to and one sentence for a person.
struct error {
  errc code = errc::internal;
  std::string message;
  bool operator==(const error&) const = default;
};

/// "invalid: found 3, expected an even number".
std::string to_string(const error& what);

/// A value or an error. A failure is never a value: there is no `expected<reward>` that holds a made-up 0.
template <class T>
using expected = tl::expected<T, error>;

/// `return fail(errc::not_found, "no such run: x");`
inline tl::unexpected<error> fail(errc code, std::string message) {
  return tl::unexpected<error>(error{code, std::move(message)});
}

/// Passes another call's error on: `if (!x) return fail(x.error());`
inline tl::unexpected<error> fail(error what) { return tl::unexpected<error>(std::move(what)); }

} // namespace troupe

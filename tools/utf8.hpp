#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace troupe {

/// The place of the first byte that is not part of well-formed UTF-8 (RFC 3629: no overlong forms, no
/// surrogates, at most U+10FFFF), or text.size() if there is none.
std::size_t first_invalid_utf8(std::string_view text);

/// Well-formed text in any case: every byte that is not part of well-formed UTF-8 becomes U+FFFD.
std::string repaired_utf8(std::string_view text);

/// The number of characters (code points). A byte that is not UTF-8 counts as one.
std::size_t count_chars(std::string_view text);

/// At most `limit` characters from the start; never cuts inside a character.
std::string_view first_chars(std::string_view text, std::size_t limit);

} // namespace troupe

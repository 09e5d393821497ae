#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Columns that the text takes in a terminal: 2 for East Asian wide characters and emoji, 0 for combining
/// marks, 1 for the rest. Precondition: no control characters and no escape sequences.
std::size_t display_width(std::string_view text);

/// The text made safe to print: control characters (ESC and C1 among them) and bytes that are not UTF-8
/// become "·", so that no document and no policy can move the cursor or rename the window. Line breaks stay
/// if `keep_lines`.
std::string printable(std::string_view text, bool keep_lines = false);

/// At most `columns` wide; what is cut ends in "…".
std::string clipped(std::string_view text, std::size_t columns);

/// Broken at spaces into lines of at most `columns` (a longer word is cut); line breaks in the text are kept.
/// At least one line. Precondition: columns >= 1; the text is printable.
std::vector<std::string> wrapped(std::string_view text, std::size_t columns);

/// Filled with spaces up to `columns`.
std::string pad_right(std::string_view text, std::size_t columns);
std::string pad_left(std::string_view text, std::size_t columns);

/// "0.607", "-1.20"; "–" if it is not finite.
std::string fixed(double value, int digits);
/// "1,240": whole, with separators of thousands; "–" if it is not finite.
std::string grouped(double value);
/// "12.3 %" of a share in [0, 1].
std::string percent(double share, int digits = 1);
/// "48 s", "3:05", "1:02:03".
std::string clock_time(double seconds);
/// "1.2e-05"; "0".
std::string scientific(double value);

} // namespace troupe

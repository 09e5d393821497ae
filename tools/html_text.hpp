#pragma once

#include "runtime/base/error.hpp"
#include <string>
#include <string_view>

namespace troupe {

struct readable_page {
  std::string title; ///< of <title>, else of the first heading; may be empty
  std::string
      text; ///< what a reader sees: a line per block, spaces collapsed, no scripts, styles or templates
};

/// Reads HTML as browsers do (gumbo, the HTML5 algorithm): every text is a page, however broken.
/// Precondition: UTF-8. Errors: exhausted if tags are nested so deep that no reader could be meant (the
/// parser is recursive).
expected<readable_page> read_html(std::string_view html);

} // namespace troupe

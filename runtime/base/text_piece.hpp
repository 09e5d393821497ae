#pragma once

#include <string>

namespace troupe {

/// A piece of a prompt. A special piece is the name of one special token ("<|user|>"); all other text is data: a special
/// token's name inside it is encoded as plain bytes, so that no document and no user can forge a role.
struct text_piece {
  bool special = false;
  std::string text;
  bool operator==(const text_piece&) const = default;
};

} // namespace troupe

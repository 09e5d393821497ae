#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace troupe::jinja {

struct lexeme {
  enum class kind : unsigned char {
    text,
    output_begin,
    output_end,
    block_begin,
    block_end,
    name,
    string,
    integer,
    real,
    symbol,
    end
  };
  kind what = kind::end;
  std::string text;
  int line = 0;
};

/// Cuts a template as Jinja does with trim_blocks and lstrip_blocks, which is how chat templates are meant: a newline behind a block
/// goes, white space before it at the beginning of a line, too. Throws failure.
std::vector<lexeme> lex_template(std::string_view source);

} // namespace troupe::jinja

#pragma once

#include "gpu/chat/value.hpp"

namespace troupe::jinja {

/// An expression. What `text` and `parts` are depends on the kind.
struct expression {
  enum class kind : std::uint8_t {
    constant,  ///< constant
    name,      ///< text
    list,      ///< parts
    tuple,     ///< parts
    map,       ///< parts: key, value, key, value ...
    attribute, ///< parts[0] . text
    item,      ///< parts[0] [ parts[1] ]
    slice,     ///< parts[0] [ parts[1] : parts[2] : parts[3] ], absent ones null
    call,      ///< parts[0] ( parts[1..], named )
    filter,    ///< parts[0] | text ( parts[1..], named )
    test,      ///< parts[0] is text ( parts[1..], named )
    negation,  ///< not parts[0]
    unary,     ///< text ("-" or "+") parts[0]
    binary,    ///< parts[0] text parts[1]: + - * / // % ** ~ and or
    compare,   ///< parts[0] operators[0] parts[1] operators[1] parts[2] ...
    condition, ///< parts[0] if parts[1] else parts[2], which may be null
  };
  kind what = kind::constant;
  std::string text;
  value constant;
  std::vector<std::unique_ptr<expression>> parts;
  std::vector<std::pair<std::string, std::unique_ptr<expression>>> named;
  std::vector<std::string> operators;
  int line = 0, height = 1; ///< height: of the tree
};
using expression_ptr = std::unique_ptr<expression>;

/// A statement.
struct statement {
  enum class kind : std::uint8_t {
    text,      ///< text
    output,    ///< {{ value }}
    branch,    ///< if value: body, else: otherwise
    loop,      ///< for targets in value if condition: body, else: otherwise
    set,       ///< set target = value
    set_block, ///< set target: body, filtered by value (a chain whose innermost operand is null) or null
    macro,     ///< macro text(targets = defaults): body
    block,     ///< body (filter blocks have a value, as set_block)
    stop,      ///< break
    skip,      ///< continue
  };
  kind what = kind::text;
  std::string text;
  expression_ptr value, target, condition;
  std::vector<std::string> targets;
  std::vector<expression_ptr> defaults; ///< of the last targets
  std::vector<statement> body, otherwise;
  int line = 0;
};

/// A template as a tree. Throws failure with the line and what was found.
std::vector<statement> parse_template(std::string_view source);

} // namespace troupe::jinja

#pragma once

#include "gpu/chat/syntax.hpp"
#include <map>

namespace troupe::jinja {

/// What a rendering may use; past it it fails.
struct limits {
  std::size_t steps = 2'000'000;             ///< expressions and statements evaluated
  std::size_t bytes = std::size_t{64} << 20; ///< text made, intermediate text included
  int depth = 600;                           ///< calls of macros and expressions within each other
};

/// Renders a tree. One object renders once.
class evaluator {
public:
  explicit evaluator(const limits& allowed) : left_(allowed) {}

  /// A name that templates can use: a variable or a function.
  void define(const std::string& name, value what) { globals_.names[name] = std::move(what); }
  std::string render(const std::vector<statement>& body);

  /// Counts what is about to be made, for functions that make text or lists. Throws failure.
  void spend_bytes(std::size_t bytes);

private:
  struct scope {
    std::map<std::string, value> names;
    scope* outer = nullptr;
  };
  enum class flow : std::uint8_t { on, stop, skip };

  flow run(const std::vector<statement>& body, scope& in, std::string& out);
  flow run(const statement& one, scope& in, std::string& out);
  flow loop(const statement& one, scope& in, std::string& out);
  void assign(const expression& target, value what, scope& in);
  value macro(const statement& one, scope& in);

  value evaluate(const expression& e, scope& in);
  value evaluate_now(const expression& e, scope& in);
  value lookup(const std::string& name, const scope& in) const;
  value binary(const expression& e, scope& in);
  value compared(const expression& e, scope& in);
  value sliced(const expression& e, scope& in);
  value called(const expression& e, scope& in);
  value filtered(const expression& e, value of,
                 scope& in); ///< a chain of filters whose innermost operand is `of`
  call_arguments arguments_of(const expression& e, std::size_t first, scope& in);

  limits left_;
  scope globals_;
};

// -- what the evaluator is made of, each in a source of its own

/// object.name and object[key], as Jinja's sandbox gives them: parts of data, and the methods of text, lists and maps that change
/// nothing. What is not there is undefined.
value attribute_of(const value& object, const std::string& name, evaluator& by);
value item_of(const value& object, const value& key, evaluator& by);
/// What a for loop, list(), map() and others go through.
list iterated(const value& object);
value apply_filter(const std::string& name, const value& of, const call_arguments& with, evaluator& by);
bool apply_test(const std::string& name, const value& of, const call_arguments& with);
bool contains(const value& in, const value& what);

/// Text without the characters at its ends that are in `set`; white space where it is not given.
std::string stripped(const std::string& text, const value& set, bool left, bool right);
std::string upper_case(std::string_view text);
std::string lower_case(std::string_view text);
std::string replace_all(const std::string& text, const std::string& what, const std::string& by,
                        std::int64_t most);

} // namespace troupe::jinja

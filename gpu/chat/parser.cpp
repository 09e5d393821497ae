#include "gpu/chat/lexer.hpp"
#include "gpu/chat/syntax.hpp"

#include <algorithm>
#include <charconv>

namespace troupe::jinja {

namespace {

constexpr int deepest = 400;

class parser {
public:
  explicit parser(std::vector<lexeme> lexemes) : lexemes_(std::move(lexemes)) {}

  std::vector<statement> all() {
    auto out = statements({});
    if (now().what != lexeme::kind::end) refuse("the end of the template");
    return out;
  }

private:
  using kind = lexeme::kind;
  using node = expression::kind;

  const lexeme& now() const { return lexemes_[at_]; }
  const lexeme& next() const { return lexemes_[std::min(at_ + 1, lexemes_.size() - 1)]; }
  lexeme take() { return at_ + 1 < lexemes_.size() ? lexemes_[at_++] : lexemes_[at_]; }
  bool is(std::string_view symbol) const { return now().what == kind::symbol && now().text == symbol; }
  bool is_name(std::string_view name) const { return now().what == kind::name && now().text == name; }
  bool eat(std::string_view symbol) { return is(symbol) && (take(), true); }
  bool eat_name(std::string_view name) { return is_name(name) && (take(), true); }
  void expect(std::string_view symbol) {
    if (!eat(symbol)) refuse("\"" + std::string(symbol) + "\"");
  }
  void expect_end_of_block() {
    if (now().what != kind::block_end) refuse("%}");
    take();
  }
  std::string name() {
    if (now().what != kind::name) refuse("a name");
    return take().text;
  }
  [[noreturn]] void refuse(const std::string& expected_what) const {
    throw failure("line " + std::to_string(now().line) + ": found \"" + now().text + "\", expected " +
                  expected_what);
  }

  /// Counts how deep the recursion is, so that no template can exhaust the stack.
  struct level {
    explicit level(parser& p) : owner(p) {
      if (++owner.depth_ > deepest)
        throw failure("line " + std::to_string(owner.now().line) + ": nested deeper than " +
                      std::to_string(deepest));
    }
    ~level() { --owner.depth_; }
    parser& owner;
  };

  expression_ptr make(node what, std::string text = {}) const {
    auto out = std::make_unique<expression>();
    out->what = what, out->text = std::move(text), out->line = now().line;
    return out;
  }
  template <class... Parts>
  expression_ptr join(node what, std::string text, Parts... parts) const {
    auto out = make(what, std::move(text));
    (out->parts.push_back(std::move(parts)), ...);
    for (auto& one : out->parts)
      if (one) out->height = std::max(out->height, one->height + 1);
    if (out->height > deepest)
      throw failure("line " + std::to_string(out->line) + ": an expression nested deeper than " +
                    std::to_string(deepest));
    return out;
  }

  // -- statements

  /// Until a block that begins with one of the names, which stays unread (its {% is read).
  std::vector<statement> statements(const std::vector<std::string_view>& ends) {
    level here(*this);
    std::vector<statement> out;
    for (;;) {
      statement one{.line = now().line};
      if (now().what == kind::text) {
        one.text = take().text;
      } else if (now().what == kind::output_begin) {
        take();
        one.what = statement::kind::output;
        one.value = tuple_or_one();
        if (now().what != kind::output_end) refuse("}}");
        take();
      } else if (now().what == kind::block_begin) {
        take();
        if (now().what != kind::name) refuse("a statement");
        if (std::find(ends.begin(), ends.end(), now().text) != ends.end()) return out;
        one = block();
      } else {
        if (!ends.empty()) refuse(std::string(ends.back()));
        return out;
      }
      out.push_back(std::move(one));
    }
  }

  statement block() {
    const auto line = now().line;
    const auto what = name();
    statement out{.line = line};
    if (what == "if") return branch();
    if (what == "for") return loop();
    if (what == "set") return set();
    if (what == "macro") return macro();
    if (what == "generation") {
      out.what = statement::kind::block;
      expect_end_of_block();
      out.body = statements({"endgeneration"});
      take(), expect_end_of_block();
      return out;
    }
    if (what == "filter") {
      out.what = statement::kind::block;
      out.value = filter_chain(nullptr);
      expect_end_of_block();
      out.body = statements({"endfilter"});
      take(), expect_end_of_block();
      return out;
    }
    if (what == "break" || what == "continue") {
      out.what = what == "break" ? statement::kind::stop : statement::kind::skip;
      expect_end_of_block();
      return out;
    }
    throw failure("line " + std::to_string(line) + ": the statement \"" + what + "\" is not supported");
  }

  statement branch() {
    level here(*this);
    statement out{.what = statement::kind::branch, .line = now().line};
    out.value = tuple_or_one();
    expect_end_of_block();
    out.body = statements({"elif", "else", "endif"});
    const auto word = take().text;
    if (word == "elif") {
      out.otherwise.push_back(branch());
      return out;
    }
    if (word == "else") {
      expect_end_of_block();
      out.otherwise = statements({"endif"});
      take();
    }
    expect_end_of_block();
    return out;
  }

  statement loop() {
    statement out{.what = statement::kind::loop, .line = now().line};
    const bool bracket = eat("(");
    do out.targets.push_back(name());
    while (eat(","));
    if (bracket) expect(")");
    if (!eat_name("in")) refuse("in");
    out.value = tuple_or_one(false);
    if (eat_name("if")) out.condition = condition();
    if (is_name("recursive"))
      throw failure("line " + std::to_string(now().line) + ": a recursive loop is not supported");
    expect_end_of_block();
    out.body = statements({"else", "endfor"});
    if (take().text == "else") {
      expect_end_of_block();
      out.otherwise = statements({"endfor"});
      take();
    }
    expect_end_of_block();
    return out;
  }

  statement set() {
    statement out{.what = statement::kind::set, .line = now().line};
    auto first = make(node::name, name());
    if (eat(".")) first = join(node::attribute, name(), std::move(first));
    if (is(",")) {
      auto all = join(node::tuple, "", std::move(first));
      while (eat(",")) all->parts.push_back(make(node::name, name()));
      first = std::move(all);
    }
    out.target = std::move(first);
    if (eat("=")) {
      out.value = tuple_or_one();
      expect_end_of_block();
      return out;
    }
    out.what = statement::kind::set_block;
    if (is("|")) out.value = filters(nullptr);
    expect_end_of_block();
    out.body = statements({"endset"});
    take(), expect_end_of_block();
    return out;
  }

  statement macro() {
    statement out{.what = statement::kind::macro, .text = name(), .line = now().line};
    expect("(");
    while (!eat(")")) {
      out.targets.push_back(name());
      if (eat("="))
        out.defaults.push_back(condition());
      else if (!out.defaults.empty())
        refuse("a default value");
      if (!is(")")) expect(",");
    }
    expect_end_of_block();
    out.body = statements({"endmacro"});
    take(), expect_end_of_block();
    return out;
  }

  // -- expressions, in the order of Jinja's precedence

  expression_ptr tuple_or_one(bool with_condition = true) {
    const auto one = [&] { return with_condition ? condition() : disjunction(); };
    auto first = one();
    if (!is(",")) return first;
    auto out = join(node::tuple, "", std::move(first));
    while (eat(",")) {
      if (now().what == kind::block_end || now().what == kind::output_end || is(")")) break;
      out->parts.push_back(one());
    }
    return out;
  }

  expression_ptr condition() {
    level here(*this);
    auto left = disjunction();
    while (eat_name("if")) {
      auto when = disjunction();
      left = join(node::condition, "", std::move(left), std::move(when),
                  eat_name("else") ? condition() : expression_ptr());
    }
    return left;
  }

  expression_ptr disjunction() {
    auto left = conjunction();
    while (eat_name("or")) left = join(node::binary, "or", std::move(left), conjunction());
    return left;
  }

  expression_ptr conjunction() {
    auto left = negation();
    while (eat_name("and")) left = join(node::binary, "and", std::move(left), negation());
    return left;
  }

  expression_ptr negation() {
    level here(*this);
    if (eat_name("not")) return join(node::negation, "", negation());
    return comparison();
  }

  expression_ptr comparison() {
    auto left = sum();
    expression_ptr out;
    for (;;) {
      std::string what;
      for (auto symbol : {"==", "!=", "<=", ">=", "<", ">"})
        if (what.empty() && eat(symbol)) what = symbol;
      if (what.empty() && eat_name("in")) what = "in";
      if (what.empty() && is_name("not") && next().what == kind::name && next().text == "in")
        take(), take(), what = "not in";
      if (what.empty()) return out ? std::move(out) : std::move(left);
      if (!out) out = join(node::compare, "", std::move(left));
      out->operators.push_back(what);
      out->parts.push_back(sum());
    }
  }

  template <class Next>
  expression_ptr chain(std::initializer_list<const char*> symbols, Next following) {
    auto left = following();
    for (;;) {
      const auto found = std::find_if(symbols.begin(), symbols.end(), [&](auto* s) { return is(s); });
      if (found == symbols.end()) return left;
      take();
      left = join(node::binary, *found, std::move(left), following());
    }
  }
  expression_ptr sum() {
    return chain({"+", "-"}, [&] { return chain({"~"}, [&] { return product(); }); });
  }
  expression_ptr product() {
    return chain({"*", "/", "//", "%"}, [&] { return chain({"**"}, [&] { return unary(true); }); });
  }

  expression_ptr unary(bool with_filters) {
    level here(*this);
    if (is("-") || is("+")) {
      const auto sign = take().text;
      auto out = join(node::unary, sign, unary(false));
      return with_filters ? filters(std::move(out)) : std::move(out);
    }
    auto out = postfix(primary());
    return with_filters ? filters(std::move(out)) : std::move(out);
  }

  expression_ptr constant(value v) const {
    auto out = make(node::constant);
    out->constant = std::move(v);
    return out;
  }

  expression_ptr primary() {
    if (now().what == kind::name) {
      const auto word = take().text;
      if (word == "true" || word == "True") return constant(true);
      if (word == "false" || word == "False") return constant(false);
      if (word == "none" || word == "None") return constant({});
      return make(node::name, word);
    }
    if (now().what == kind::string) {
      std::string text;
      while (now().what == kind::string) text += take().text;
      return constant(text);
    }
    if (now().what == kind::integer || now().what == kind::real) return number();
    if (eat("(")) {
      if (eat(")")) return make(node::tuple);
      auto inner = tuple_or_one();
      expect(")");
      return inner;
    }
    if (eat("[")) {
      auto out = make(node::list);
      while (!eat("]")) {
        out->parts.push_back(condition());
        if (!is("]")) expect(",");
      }
      return out;
    }
    if (eat("{")) {
      auto out = make(node::map);
      while (!eat("}")) {
        out->parts.push_back(condition());
        expect(":");
        out->parts.push_back(condition());
        if (!is("}")) expect(",");
      }
      return out;
    }
    refuse("an expression");
  }

  expression_ptr number() {
    const auto text = take();
    if (text.what == kind::integer) {
      std::int64_t out = 0;
      if (std::from_chars(text.text.data(), text.text.data() + text.text.size(), out).ec != std::errc())
        throw failure("line " + std::to_string(text.line) + ": the number " + text.text + " is too large");
      return constant(out);
    }
    double out = 0;
    std::from_chars(text.text.data(), text.text.data() + text.text.size(), out);
    return constant(out);
  }

  expression_ptr postfix(expression_ptr of) {
    for (;;) {
      if (eat(".")) {
        if (now().what == kind::integer)
          of = join(node::item, "", std::move(of), number());
        else
          of = join(node::attribute, name(), std::move(of));
      } else if (eat("[")) {
        of = subscript(std::move(of));
      } else if (is("(")) {
        of = join(node::call, "", std::move(of));
        arguments(*of);
      } else {
        return of;
      }
    }
  }

  expression_ptr subscript(expression_ptr of) {
    expression_ptr parts[3];
    int count = 0;
    bool slice = false;
    for (; count < 3; ++count) {
      if (!is(":") && !is("]")) parts[count] = condition();
      if (!eat(":")) break;
      slice = true;
    }
    expect("]");
    if (!slice) {
      if (!parts[0]) refuse("an index");
      return join(node::item, "", std::move(of), std::move(parts[0]));
    }
    return join(node::slice, "", std::move(of), std::move(parts[0]), std::move(parts[1]),
                std::move(parts[2]));
  }

  void arguments(expression& of) {
    expect("(");
    while (!eat(")")) {
      if (is("*") || is("**"))
        throw failure("line " + std::to_string(now().line) + ": * and ** in a call are not supported");
      if (now().what == kind::name && next().what == kind::symbol && next().text == "=") {
        auto key = name();
        take();
        of.named.emplace_back(std::move(key), condition());
      } else if (of.named.empty()) {
        of.parts.push_back(condition());
      } else {
        refuse("a named argument");
      }
      if (!is(")")) expect(",");
    }
  }

  expression_ptr filter_chain(expression_ptr of) {
    auto out = join(node::filter, name(), std::move(of));
    if (is("(")) arguments(*out);
    return is("|") ? filters(std::move(out)) : std::move(out);
  }

  expression_ptr filters(expression_ptr of) {
    for (;;) {
      if (eat("|")) {
        of = join(node::filter, name(), std::move(of));
        if (is("(")) arguments(*of);
      } else if (eat_name("is")) {
        const bool negative = eat_name("not");
        of = join(node::test, name(), std::move(of));
        if (is("("))
          arguments(*of);
        else if (starts_operand())
          of->parts.push_back(postfix(primary()));
        if (negative) of = join(node::negation, "", std::move(of));
      } else if (is("(")) {
        of = join(node::call, "", std::move(of));
        arguments(*of);
      } else {
        return of;
      }
    }
  }

  /// Whether a test's argument without brackets follows.
  bool starts_operand() const {
    if (now().what == kind::string || now().what == kind::integer || now().what == kind::real || is("[") ||
        is("{"))
      return true;
    if (now().what != kind::name) return false;
    if (is_name("is")) refuse("one test, not several in a row");
    return !is_name("else") && !is_name("or") &&
           !is_name("and"); // every other word is an argument for Jinja, too
  }

  std::vector<lexeme> lexemes_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

} // namespace

std::vector<statement> parse_template(std::string_view source) { return parser(lex_template(source)).all(); }

} // namespace troupe::jinja

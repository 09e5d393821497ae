#include "gpu/chat/lexer.hpp"

#include "gpu/chat/value.hpp"
#include "gpu/text/unicode.hpp"

namespace troupe::jinja {

namespace {

constexpr std::string_view spaces = " \t\n\r\f\v";

bool is_space(char c) { return spaces.find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class lexer {
public:
  explicit lexer(std::string_view source) {
    for (std::size_t i = 0; i < source.size(); ++i) { // all newlines are \n, and the last one does not count
      source_ += source[i] == '\r' ? '\n' : source[i];
      if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::vector<lexeme> all() {
    while (at_ < source_.size()) {
      const auto tag = next_tag();
      auto text = source_.substr(at_, tag - at_);
      if (tag == source_.size()) {
        put(lexeme::kind::text, text);
        count_lines(tag);
        break;
      }
      const char kind = source_[tag + 1], sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      strip_before(text, kind, sign);
      put(lexeme::kind::text, text);
      count_lines(tag);
      at_ = tag + 2 + (sign == '-' || sign == '+');
      if (kind == '#')
        skip_comment();
      else if (kind == '%' && eat_word("raw"))
        raw_block();
      else
        expression(kind == '{');
    }
    put(lexeme::kind::end, "");
    return std::move(out_);
  }

private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw failure("line " + std::to_string(line_) + ": " + why);
  }

  void put(lexeme::kind kind, std::string text) {
    if (kind != lexeme::kind::text || !text.empty()) out_.push_back({kind, std::move(text), line_});
  }

  void count_lines(std::size_t to) {
    for (std::size_t i = counted_; i < to; ++i) line_ += source_[i] == '\n';
    counted_ = std::max(counted_, to);
  }

  std::size_t next_tag() const {
    for (auto tag = source_.find('{', at_); tag != source_.npos; tag = source_.find('{', tag + 1))
      if (tag + 1 < source_.size() &&
          std::string_view("{%#").find(source_[tag + 1]) != std::string_view::npos)
        return tag;
    return source_.size();
  }

  void strip_before(std::string& text, char kind, char sign) const {
    if (sign == '-') {
      while (!text.empty() && is_space(text.back())) text.pop_back();
    } else if (sign != '+' && kind != '{') {
      const auto newline = text.rfind('\n');
      const auto line_start = newline == text.npos ? 0 : newline + 1;
      if ((line_start > 0 || line_starting_) && text.find_first_not_of(spaces, line_start) == text.npos)
        text.resize(line_start);
    }
  }

  /// Behind "%}" or "#}" or "}}", of which `sign` stood before it.
  void after_tag(bool trims_newline, char sign) {
    if (sign == '-')
      while (at_ < source_.size() && is_space(source_[at_])) ++at_;
    else if (sign != '+' && trims_newline && at_ < source_.size() && source_[at_] == '\n')
      ++at_;
    line_starting_ = source_[at_ - 1] == '\n';
    count_lines(at_);
  }

  void skip_comment() {
    const auto end = source_.find("#}", at_);
    if (end == source_.npos) refuse("a comment without end");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    at_ = end + 2;
    after_tag(true, sign);
  }

  /// Of the word and the end of its block, with white space and signs between: whether they are next; then they are eaten.
  bool eat_word(std::string_view word) {
    auto at = source_.find_first_not_of(spaces, at_);
    if (at == source_.npos || source_.compare(at, word.size(), word) != 0) return false;
    at = source_.find_first_not_of(spaces, at + word.size());
    if (at == source_.npos) return false;
    const char sign = source_[at];
    if (sign == '-' || sign == '+') ++at;
    if (source_.compare(at, 2, "%}") != 0) return false;
    at_ = at + 2;
    after_tag(true, sign);
    return true;
  }

  void raw_block() {
    const auto begin = at_;
    for (auto tag = source_.find("{%", at_); tag != source_.npos; tag = source_.find("{%", tag + 2)) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      at_ = tag + 2 + (sign == '-' || sign == '+');
      auto text = source_.substr(begin, tag - begin);
      strip_before(text, '%', sign);
      if (!eat_word("endraw")) continue;
      return put(lexeme::kind::text, text);
    }
    refuse("raw without endraw");
  }

  void expression(bool output) {
    const std::string_view close = output ? "}}" : "%}";
    put(output ? lexeme::kind::output_begin : lexeme::kind::block_begin, "");
    int nesting = 0;
    for (;;) {
      while (at_ < source_.size() && is_space(source_[at_])) ++at_;
      count_lines(at_);
      if (at_ >= source_.size()) refuse(output ? "{{ without }}" : "{% without %}");
      const std::string_view rest = std::string_view(source_).substr(at_);
      const char sign = rest[0];
      const bool signed_end = (sign == '-' || (sign == '+' && !output)) && rest.substr(1).starts_with(close);
      if (nesting == 0 && (rest.starts_with(close) || signed_end)) {
        at_ += signed_end ? 3 : 2;
        put(output ? lexeme::kind::output_end : lexeme::kind::block_end, "");
        return after_tag(!output, signed_end ? sign : ' ');
      }
      token(rest, nesting);
    }
  }

  void token(std::string_view rest, int& nesting) {
    std::size_t n = 0;
    if (is_name_start(rest[0])) {
      while (n < rest.size() && (is_name_start(rest[n]) || is_digit(rest[n]))) ++n;
      put(lexeme::kind::name, std::string(rest.substr(0, n)));
      at_ += n;
    } else if (is_digit(rest[0])) {
      number(rest);
    } else if (rest[0] == '\'' || rest[0] == '"') {
      string(rest[0]);
    } else {
      for (std::string_view symbol : {"//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<",
                                      ">",  "=",  "(",  ")",  "[",  "]",  "{", "}", ".", ",", ":", "|"})
        if (rest.starts_with(symbol)) {
          if (std::string_view("([{").find(rest[0]) != std::string_view::npos) ++nesting;
          if (std::string_view(")]}").find(rest[0]) != std::string_view::npos)
            nesting = std::max(0, nesting - 1);
          put(lexeme::kind::symbol, std::string(symbol));
          at_ += symbol.size();
          return;
        }
      refuse("found \"" + std::string(rest.substr(0, 1)) + "\", expected an expression");
    }
  }

  void number(std::string_view rest) {
    std::string digits;
    std::size_t n = 0;
    bool real = false;
    const auto run = [&] {
      while (n < rest.size() &&
             (is_digit(rest[n]) || (rest[n] == '_' && n + 1 < rest.size() && is_digit(rest[n + 1]))))
        if (rest[n++] != '_') digits += rest[n - 1];
    };
    run();
    if (n + 1 < rest.size() && rest[n] == '.' && is_digit(rest[n + 1]))
      digits += rest[n++], real = true, run();
    if (n < rest.size() && (rest[n] == 'e' || rest[n] == 'E')) {
      const auto sign = n + 1 < rest.size() && (rest[n + 1] == '+' || rest[n + 1] == '-');
      if (n + 1 + sign < rest.size() && is_digit(rest[n + 1 + sign])) {
        digits += 'e';
        if (sign) digits += rest[n + 1];
        n += 1 + sign, real = true, run();
      }
    }
    put(real ? lexeme::kind::real : lexeme::kind::integer, std::move(digits));
    at_ += n;
  }

  void string(char quote) {
    std::string out;
    for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
      if (source_[at_] != '\\' || at_ + 1 >= source_.size())
        out += source_[at_];
      else
        escape(source_[++at_], out);
    }
    if (at_ >= source_.size()) refuse("a string without end");
    ++at_;
    put(lexeme::kind::string, std::move(out));
  }

  /// As Python's "unicode-escape": what is no escape stays with its backslash.
  void escape(char c, std::string& out) {
    constexpr std::string_view from = "\\'\"abfnrtv", to = "\\'\"\a\b\f\n\r\t\v";
    if (const auto found = from.find(c); found != from.npos) return void(out += to[found]);
    if (c == '\n') return;
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    char32_t point = 0;
    int n = 0;
    for (; n < digits && at_ + 1 < source_.size() &&
           std::isxdigit(static_cast<unsigned char>(source_[at_ + 1]));
         ++n, ++at_) {
      const char h = source_[at_ + 1];
      point = point * 16 + static_cast<char32_t>(is_digit(h) ? h - '0' : (h | 0x20) - 'a' + 10);
    }
    if (digits > 0 && (n != digits || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)))
      refuse("a number of a character that is none");
    if (digits > 0) return append_utf8(out, point);
    if (c >= '0' && c <= '7') {
      for (point = static_cast<char32_t>(c - '0'), n = 1;
           n < 3 && at_ + 1 < source_.size() && source_[at_ + 1] >= '0' && source_[at_ + 1] <= '7'; ++n)
        point = point * 8 + static_cast<char32_t>(source_[++at_] - '0');
      return append_utf8(out, point);
    }
    (out += '\\') += c;
  }

  std::string source_;
  std::size_t at_ = 0, counted_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<lexeme> out_;
};

} // namespace

std::vector<lexeme> lex_template(std::string_view source) { return lexer(source).all(); }

} // namespace troupe::jinja

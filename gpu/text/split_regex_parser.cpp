#include "gpu/text/split_regex.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace troupe {

namespace {

constexpr std::uint32_t unbounded = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t longest_pattern = 16384, deepest = 32, most_nodes = 4096;
constexpr std::uint32_t largest_bound = 1000, most_copies = 16;

void add(std::vector<code_range>& to, const std::vector<code_range>& what) {
  to.insert(to.end(), what.begin(), what.end());
}

} // namespace

/// Recursive descent over the pattern into a tree, then a second walk that links the tree into nodes. The first error is
/// kept; after it nothing is made any more.
class split_regex_parser {
public:
  explicit split_regex_parser(std::string_view pattern) : pattern_(pattern) {}

  expected<split_regex> parse() {
    if (pattern_.size() > longest_pattern)
      return fail(errc::invalid, "a pattern of " + std::to_string(pattern_.size()) +
                                     " bytes, expected at most " + std::to_string(longest_pattern));
    if (!well_formed_utf8(pattern_)) return fail(errc::invalid, "a pattern that is not UTF-8");
    const auto tree = alternatives(0);
    if (at_ < pattern_.size()) refuse("an unmatched )");
    if (why_.empty()) {
      made_.nodes_.resize(1);
      for (auto& sequence : tree) made_.top_.push_back(link(sequence, 0));
    }
    if (!why_.empty()) return fail(errc::invalid, "pattern " + std::string(pattern_) + ": " + why_);
    made_.index_first();
    return std::move(made_);
  }

private:
  using kind = split_regex::kind;
  using greed = split_regex::greed;
  struct item;
  using sequence = std::vector<item>;
  struct item {
    kind what = kind::set;
    greed how = greed::greedy;
    bool negative = false;
    std::vector<code_range> set;
    std::uint32_t min = 1, max = 1;
    std::vector<sequence> inside;
  };

  void refuse(const std::string& what) {
    if (why_.empty()) why_ = "at byte " + std::to_string(at_) + ": " + what + " is not supported";
    at_ = pattern_.size();
  }
  bool more() const { return at_ < pattern_.size(); }
  bool eat(std::string_view text) {
    if (!pattern_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  std::vector<sequence> alternatives(std::size_t depth) {
    std::vector<sequence> out(1);
    if (depth > deepest) refuse("deeper nesting");
    const bool fold = fold_;
    while (more() && pattern_[at_] != ')') {
      if (eat("|")) {
        out.emplace_back();
        continue;
      }
      auto one = atom(depth);
      if (!why_.empty()) break;
      repeat(one);
      out.back().push_back(std::move(one));
    }
    fold_ = fold;
    return out;
  }

  item group(kind what, std::size_t depth) {
    item out{.what = what};
    out.inside = alternatives(depth + 1);
    if (!eat(")")) refuse("an unmatched (");
    // (?:a|[bc]) is one set: it may be repeated like any other
    bool one_set = what == kind::alternatives;
    for (auto& s : out.inside)
      one_set = one_set && s.size() == 1 && s[0].what == kind::set && s[0].min == 1 && s[0].max == 1;
    if (!one_set) return out;
    item set;
    for (auto& s : out.inside) add(set.set, s[0].set);
    set.set = merged(std::move(set.set));
    return set;
  }

  item atom(std::size_t depth) {
    if (eat("(?:")) return group(kind::alternatives, depth);
    if (eat("(?i:")) {
      const bool before = std::exchange(fold_, true);
      auto out = group(kind::alternatives, depth);
      fold_ = before;
      return out;
    }
    if (at_ == 0 && eat("(?i)")) { // elsewhere Ruby has it swallow the alternatives that follow
      fold_ = true;
      return {.what = kind::alternatives, .inside = {{}}};
    }
    if (eat("(?>")) return group(kind::atomic, depth);
    if (eat("(?=")) return group(kind::look_ahead, depth);
    if (eat("(?!")) {
      auto out = group(kind::look_ahead, depth);
      out.negative = true;
      return out;
    }
    const bool behind = eat("(?<="), not_behind = !behind && eat("(?<!");
    if (behind || not_behind) {
      auto inner = group(kind::alternatives, depth);
      if (inner.what != kind::set) refuse("a look-behind of more than one character");
      inner.what = kind::look_behind;
      inner.negative = not_behind;
      return inner;
    }
    if (eat("(?")) {
      refuse("(?" + std::string(pattern_.substr(at_, 1)));
      return {};
    }
    if (eat("(")) return group(kind::alternatives, depth);
    if (eat("[")) return {.set = bracket(depth)};
    if (eat("^")) return {.what = kind::line_begin};
    if (eat("$")) return {.what = kind::line_end};
    if (eat("\\A")) return {.what = kind::begin};
    if (eat("\\z")) return {.what = kind::end};
    if (eat(".")) return {.set = complement({{'\n', '\n'}})};
    if (eat("\\")) return {.set = escape()};
    if (std::string_view("?*+{").find(pattern_[at_]) != std::string_view::npos) {
      refuse("a repetition of nothing");
      return {};
    }
    return {.set = folded(next_code_point(pattern_, at_))};
  }

  std::vector<code_range> folded(char32_t c) {
    std::vector<code_range> out{{c, c}};
    if (!fold_) return out;
    if (c >= 0x80) {
      refuse("a letter outside of ASCII without regard to case");
      return out;
    }
    const char32_t lower = c | 0x20;
    if (lower < 'a' || lower > 'z') return out;
    out = {{lower, lower}, {lower - 0x20, lower - 0x20}};
    if (lower == 's') out.push_back({0x17F, 0x17F});   // the long s
    if (lower == 'k') out.push_back({0x212A, 0x212A}); // the Kelvin sign
    return merged(std::move(out));
  }

  static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  }

  char32_t hex_number(std::size_t least, std::size_t most) {
    char32_t out = 0;
    std::size_t n = 0;
    for (; n < most && more() && hex(pattern_[at_]) >= 0; ++n, ++at_)
      out = out * 16 + static_cast<char32_t>(hex(pattern_[at_]));
    if (n < least || out > 0x10FFFF) refuse("this number of a character");
    return out;
  }

  /// After a backslash. `single` is set to whether it names one character, which can begin a range.
  std::vector<code_range> escape(bool* single = nullptr) {
    if (single) *single = false;
    if (!more()) {
      refuse("a \\ at the end");
      return {};
    }
    const auto begin = at_;
    const char c = pattern_[at_];
    if (static_cast<unsigned char>(c) >= 0x80) return one(next_code_point(pattern_, at_), single);
    ++at_;
    switch (c) {
    case 's': return white_space();
    case 'S': return complement(white_space());
    case 'd': return *unicode_property("Nd");
    case 'D': return complement(*unicode_property("Nd"));
    case 'w': return unicode_properties({"L", "M", "N", "Pc"});
    case 'W': return complement(unicode_properties({"L", "M", "N", "Pc"}));
    case 'p':
    case 'P': return property(c == 'P');
    case 'r': return one('\r', single);
    case 'n': return one('\n', single);
    case 't': return one('\t', single);
    case 'f': return one('\f', single);
    case 'v': return one('\v', single);
    case 'e': return one(0x1B, single);
    case 'u': return one(hex_number(4, 4), single);
    case 'x': {
      if (eat("{")) {
        const auto point = hex_number(1, 8);
        if (!eat("}")) refuse("\\x{ without }");
        return one(point, single);
      }
      const auto point = hex_number(1, 2);
      if (point >= 0x80) refuse("\\x of a byte that is no character");
      return one(point, single);
    }
    default: break;
    }
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      at_ = begin;
      refuse(std::string("\\") + c);
      return {};
    }
    return one(static_cast<char32_t>(c), single);
  }

  std::vector<code_range> one(char32_t c, bool* single) {
    if (single) *single = true;
    return folded(c);
  }

  std::vector<code_range> property(bool negative) {
    if (fold_) refuse("\\p without regard to case");
    std::string_view name;
    if (eat("{")) {
      if (eat("^")) negative = !negative;
      const auto end = pattern_.find('}', at_);
      if (end == pattern_.npos) {
        refuse("\\p{ without }");
        return {};
      }
      name = pattern_.substr(at_, end - at_);
      at_ = end + 1;
    } else {
      refuse("\\p without {");
      return {};
    }
    const auto found = unicode_property(name);
    if (!found) {
      refuse("\\p{" + std::string(name) + "}");
      return {};
    }
    return negative ? complement(*found) : *found;
  }

  std::vector<code_range> bracket(std::size_t depth) {
    if (depth > deepest) refuse("deeper nesting");
    const bool negative = eat("^");
    std::vector<code_range> out;
    std::optional<std::vector<code_range>> left; // of &&
    bool first = true;
    for (;; first = false) {
      if (!more()) {
        refuse("[ without ]");
        return {};
      }
      if (!first && eat("]")) break;
      if (first && pattern_[at_] == ']') {
        refuse("] at the beginning of a class");
        return {};
      }
      if (eat("&&")) {
        out = merged(std::move(out));
        left = left ? intersection(*left, out) : std::move(out);
        out.clear();
        continue;
      }
      if (eat("[:")) {
        refuse("a class by name");
        return {};
      }
      if (eat("[")) {
        add(out, bracket(depth + 1));
        continue;
      }
      bool single = true;
      const auto begin = eat("\\") ? escape(&single) : folded(next_code_point(pattern_, at_));
      if (!single || !pattern_.substr(at_).starts_with("-") || pattern_.substr(at_).starts_with("-]")) {
        add(out, begin);
        continue;
      }
      ++at_;
      if (!more()) continue;
      const auto end = eat("\\") ? escape(&single) : one(next_code_point(pattern_, at_), &single);
      if (!single || begin.empty() || end.empty()) {
        refuse("this range");
        return {};
      }
      if (fold_) {
        refuse("a range without regard to case");
        return {};
      }
      if (begin[0].first > end[0].first) {
        refuse("a range from a later to an earlier character");
        return {};
      }
      out.push_back({begin[0].first, end[0].first});
    }
    out = merged(std::move(out));
    if (left) out = intersection(*left, out);
    return negative ? complement(out) : out;
  }

  /// {n}, {n,}, {,m}, {n,m}; false and nothing eaten where the text is none of these.
  bool braces(std::uint32_t& min, std::uint32_t& max) {
    const auto begin = at_;
    const auto number = [&](std::uint32_t absent) {
      if (!more() || pattern_[at_] < '0' || pattern_[at_] > '9') return absent;
      std::uint32_t out = 0;
      for (; more() && pattern_[at_] >= '0' && pattern_[at_] <= '9'; ++at_)
        out = std::min<std::uint32_t>(out * 10 + static_cast<std::uint32_t>(pattern_[at_] - '0'),
                                      largest_bound + 1);
      return out;
    };
    if (!eat("{")) return false;
    const auto first = at_;
    min = number(0);
    const bool given = at_ != first;
    max = min;
    if (eat(",")) {
      const auto second = at_;
      max = number(unbounded);
      if (!given && at_ == second) return at_ = begin, false;
    } else if (!given) {
      return at_ = begin, false;
    }
    if (!eat("}")) return at_ = begin, false;
    return true;
  }

  void repeat(item& one) {
    while (more()) {
      std::uint32_t min = 1, max = 1;
      bool counted = false;
      if (eat("?"))
        min = 0;
      else if (eat("*"))
        min = 0, max = unbounded;
      else if (eat("+"))
        max = unbounded;
      else if (braces(min, max))
        counted = true;
      else
        return;
      if (one.min != 1 || one.max != 1 || (one.what != kind::set && one.what != kind::alternatives))
        return refuse("this repetition");
      if (min > max || (max > largest_bound && max != unbounded)) return refuse("a repetition of this size");
      one.min = min, one.max = max;
      if (eat("?"))
        one.how = greed::lazy;
      else if (!counted && eat("+"))
        one.how = greed::possessive;
      if (one.what != kind::set && max > most_copies) return refuse("an unbounded repetition of a group");
      if (one.what != kind::set && one.how == greed::possessive && max > 1)
        return refuse("a possessive repetition of a group");
    }
  }

  // -- linking

  std::uint32_t put(split_regex::node n) {
    if (made_.nodes_.size() >= most_nodes) {
      refuse("a pattern of this size");
      return 0;
    }
    made_.nodes_.push_back(std::move(n));
    return static_cast<std::uint32_t>(made_.nodes_.size() - 1);
  }

  std::uint32_t set_of(const std::vector<code_range>& ranges) {
    made_.sets_.emplace_back(ranges);
    return static_cast<std::uint32_t>(made_.sets_.size() - 1);
  }

  std::uint32_t link(const sequence& items, std::uint32_t next) {
    for (auto i = items.rbegin(); i != items.rend(); ++i) next = link(*i, next);
    return next;
  }

  std::uint32_t link(const item& one, std::uint32_t next) {
    split_regex::node n{.what = one.what, .how = one.how, .negative = one.negative, .next = next};
    switch (one.what) {
    case kind::set:
      n.min = one.min, n.max = one.max;
      n.set = set_of(one.set);
      return put(std::move(n));
    case kind::look_behind: n.set = set_of(one.set); return put(std::move(n));
    case kind::look_ahead:
      for (auto& s : one.inside) n.inside.push_back(link(s, 0));
      return put(std::move(n));
    case kind::alternatives:
    case kind::atomic: return link_group(one, next);
    default: return put(std::move(n));
    }
  }

  /// (x){n,m} is n times x and then (x(x(..)?)?)?: the copies share nothing, so that a match needs no counters.
  std::uint32_t link_group(const item& one, std::uint32_t next) {
    const bool whole = one.what == kind::atomic || one.how == greed::possessive;
    const auto copy = [&](bool optional, std::uint32_t inner_next) {
      split_regex::node n{.what = whole ? kind::atomic : kind::alternatives,
                          .how = one.how,
                          .optional = optional,
                          .next = next};
      for (auto& s : one.inside) n.inside.push_back(link(s, whole ? 0 : inner_next));
      return put(std::move(n));
    };
    auto inner = next;
    for (auto i = one.min; i < one.max; ++i) inner = copy(true, inner);
    for (std::uint32_t i = 0; i < one.min; ++i) inner = copy(false, inner);
    return inner;
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  bool fold_ = false;
  std::string why_;
  split_regex made_;
};

expected<split_regex> split_regex::compile(std::string_view pattern) {
  return split_regex_parser(pattern).parse();
}

} // namespace troupe

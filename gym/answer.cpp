// Normalisation of answers: two texts match when their words are equal, where a number is a word by its exact
// value.
#include "gym/reward.hpp"

#include <algorithm>
#include <array>

namespace troupe {

namespace {

struct replacement {
  std::string_view from, to;
};
/// Typographic signs that people and models write for ASCII ones.
constexpr std::array<replacement, 12> plain{{{"\u2018", "'"},
                                             {"\u2019", "'"},
                                             {"\u02BC", "'"},
                                             {"\u201C", " "},
                                             {"\u201D", " "},
                                             {"\u00A0", " "},
                                             {"\u202F", " "},
                                             {"\u2010", "-"},
                                             {"\u2011", "-"},
                                             {"\u2013", "-"},
                                             {"\u2014", " "},
                                             {"\u2212", "-"}}};

std::string to_plain(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto hit = std::find_if(plain.begin(), plain.end(),
                                  [&](const replacement& r) { return text.substr(i).starts_with(r.from); });
    if (hit == plain.end()) {
      const char c = text[i++];
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    } else {
      out += hit->to;
      i += hit->from.size();
    }
  }
  return out;
}

bool digit(char c) { return c >= '0' && c <= '9'; }
bool word_byte(char c) { return digit(c) || (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80; }

/// A decimal number, exactly: sign, digits and how many of them are behind the point.
struct decimal {
  bool negative = false;
  std::string digits;
  int fraction = 0;

  std::string canonical() const {
    std::string d = digits;
    int f = fraction;
    if (f < 0) d.append(static_cast<std::size_t>(-f), '0'), f = 0;
    if (static_cast<int>(d.size()) <= f) d.insert(0, static_cast<std::size_t>(f) + 1 - d.size(), '0');
    while (f > 0 && d.back() == '0') d.pop_back(), --f;
    const auto point = d.size() - static_cast<std::size_t>(f);
    auto whole = d.substr(std::min(d.find_first_not_of('0'), point - 1), std::string::npos);
    if (f > 0) whole.insert(whole.size() - static_cast<std::size_t>(f), ".");
    const bool zero = whole.find_first_not_of("0.") == std::string::npos;
    return negative && !zero ? "-" + whole : whole;
  }
};

int scale_of(std::string_view word) {
  if (word == "thousand") return 3;
  if (word == "million") return 6;
  if (word == "billion") return 9;
  return 0;
}

/// Reads digits with groups of a thousand ("1,165") and a fraction ("3.70") at `i`, which it moves behind
/// them.
decimal read_number(const std::string& text, std::size_t& i) {
  decimal out;
  const auto take = [&](std::size_t n) { out.digits += text.substr(i, n), i += n; };
  const auto run = [&](std::size_t at) {
    std::size_t n = 0;
    while (at + n < text.size() && digit(text[at + n])) ++n;
    return n;
  };
  const auto first = run(i);
  take(first);
  while (first <= 3 && i < text.size() && text[i] == ',' && run(i + 1) == 3) ++i, take(3);
  if (i < text.size() && text[i] == '.')
    if (const auto n = run(i + 1); n > 0) ++i, out.fraction = static_cast<int>(n), take(n);
  return out;
}

std::vector<std::string> words(std::string_view raw) {
  const auto text = to_plain(raw);
  std::vector<std::string> out;
  std::optional<decimal> number; // the last word, while a scale may still follow
  const auto settle = [&] {
    if (number) out.push_back("#" + number->canonical());
    number.reset();
  };
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (digit(c)) {
      settle();
      const bool negative = i > 0 && text[i - 1] == '-' && (i == 1 || text[i - 2] == ' ');
      const bool glued = i > 0 && word_byte(text[i - 1]);
      number = read_number(text, i);
      number->negative = negative;
      if (glued || (i < text.size() && word_byte(text[i]))) settle(); // "b12", "12km": words side by side
    } else if (word_byte(c)) {
      std::string word;
      while (i < text.size() && ((word_byte(text[i]) && !digit(text[i])) || text[i] == '\'')) {
        if (text[i] != '\'') word += text[i];
        ++i;
      }
      if (const int scale = scale_of(word); scale && number) {
        number->fraction -= scale;
        continue;
      }
      settle();
      out.push_back(std::move(word));
    } else {
      if (c == '%' || c == '$') settle(), out.emplace_back(1, c);
      ++i;
    }
  }
  settle();
  std::vector<std::string> kept;
  for (const auto& w : out)
    if (w != "a" && w != "an" && w != "the") kept.push_back(w);
  return kept.empty() ? out : kept;
}

} // namespace

bool answers_match(std::string_view given, std::string_view accepted) {
  const auto left = words(given), right = words(accepted);
  return !left.empty() && left == right;
}

} // namespace troupe

#include "gpu/text/unicode.hpp"

#include <algorithm>
#include <map>
#include <simdjson.h>

namespace troupe {

namespace {

#include "gpu/text/unicode_table.inl"

constexpr char32_t last_code_point = 0x10FFFF;
constexpr std::string_view categories[] = {"Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
                                           "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Pc", "Pd",
                                           "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So"};

bool in_group(std::string_view category, std::string_view name) {
  if (name == "LC") return category == "Lu" || category == "Ll" || category == "Lt";
  return category.starts_with(name);
}

} // namespace

std::optional<std::vector<code_range>> unicode_property(std::string_view name) {
  std::vector<code_range> out;
  if (name == "Han") {
    for (auto& [first, last] : han_ranges) out.push_back({first, last});
    return out;
  }
  if (name.empty() || std::none_of(std::begin(categories), std::end(categories),
                                   [&](auto category) { return in_group(category, name); }))
    return std::nullopt;
  const auto count = std::size(category_runs);
  for (std::size_t i = 0; i < count; ++i) {
    if (!in_group(categories[category_runs[i] & 31], name)) continue;
    const char32_t first = category_runs[i] >> 5;
    out.push_back({first, i + 1 < count ? (category_runs[i + 1] >> 5) - 1 : last_code_point});
  }
  return merged(std::move(out));
}

std::vector<code_range> unicode_properties(std::initializer_list<std::string_view> names) {
  std::vector<code_range> out;
  for (auto name : names) {
    const auto ranges = unicode_property(name).value();
    out.insert(out.end(), ranges.begin(), ranges.end());
  }
  return merged(std::move(out));
}

std::vector<code_range> white_space() {
  return {{0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
          {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
}

std::vector<code_range> younger_normal_forms() {
  std::vector<code_range> out;
  for (auto& [first, last] : late_ranges) out.push_back({first, last});
  return out;
}

std::vector<code_range> merged(std::vector<code_range> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](auto& a, auto& b) { return a.first < b.first; });
  std::vector<code_range> out;
  for (auto& r : ranges) {
    if (!out.empty() && r.first <= out.back().last + 1)
      out.back().last = std::max(out.back().last, r.last);
    else
      out.push_back(r);
  }
  return out;
}

std::vector<code_range> complement(const std::vector<code_range>& ranges) {
  std::vector<code_range> out;
  char32_t from = 0;
  for (auto& r : ranges) {
    if (r.first > from) out.push_back({from, r.first - 1});
    from = r.last + 1;
  }
  if (from <= last_code_point) out.push_back({from, last_code_point});
  return out;
}

std::vector<code_range> intersection(const std::vector<code_range>& a, const std::vector<code_range>& b) {
  std::vector<code_range> out;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const auto first = std::max(a[i].first, b[j].first), last = std::min(a[i].last, b[j].last);
    if (first <= last) out.push_back({first, last});
    a[i].last < b[j].last ? ++i : ++j;
  }
  return out;
}

code_set::code_set(const std::vector<code_range>& merged_ranges) {
  std::vector<std::uint64_t> bits((last_code_point + 1) / 64);
  for (auto& r : merged_ranges)
    for (char32_t c = r.first; c <= r.last;) {
      if (c % 64 == 0 && r.last - c >= 63) {
        bits[c / 64] = ~std::uint64_t{0};
        c += 64;
      } else {
        bits[c / 64] |= std::uint64_t{1} << (c % 64);
        ++c;
      }
    }
  ascii_[0] = bits[0], ascii_[1] = bits[1];
  beyond_ascii_ = !merged_ranges.empty() && merged_ranges.back().last >= 0x80;
  std::map<std::uint64_t, std::uint16_t> known;
  for (auto word : bits) {
    const auto [at, fresh] = known.emplace(word, static_cast<std::uint16_t>(blocks_.size()));
    if (fresh) blocks_.push_back(word);
    index_.push_back(at->second);
  }
}

std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const auto next = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const auto first = byte(0);
  if (first < 0x80) return at < text.size() ? 1 : 0;
  if (first < 0xC2) return 0;
  if (first < 0xE0) return next(1) ? 2 : 0;
  if (first < 0xF0) {
    if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)) return 0;
    return next(1) && next(2) ? 3 : 0;
  }
  if (first > 0xF4 || (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) return 0;
  return next(1) && next(2) && next(3) ? 4 : 0;
}

bool well_formed_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

void append_utf8(std::string& to, char32_t c) {
  const auto put = [&](char32_t byte) { to += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) return put(0xC0 | (c >> 6)), put(0x80 | (c & 0x3F));
  if (c < 0x10000) return put(0xE0 | (c >> 12)), put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
  put(0xF0 | (c >> 18)), put(0x80 | ((c >> 12) & 0x3F)), put(0x80 | ((c >> 6) & 0x3F)),
      put(0x80 | (c & 0x3F));
}

namespace {

/// How many bytes at `at`, where no well-formed sequence is, one U+FFFD stands for.
std::size_t maximal_subpart(std::string_view bytes, std::size_t at) {
  std::string probe; // a prefix is possible if some completion is well-formed
  std::size_t longest = 1;
  for (std::size_t n = 1; n <= 3 && at + n <= bytes.size(); ++n) {
    const auto part = bytes.substr(at, n);
    bool possible = false;
    for (const std::string_view tail : {"\x80\x80\x80", "\xBF\xBF\xBF", "\x90\x80\x80", "\xA0\x80\x80"}) {
      probe.assign(part), probe.append(tail);
      possible = possible || utf8_length(probe, 0) > n;
    }
    if (!possible) break;
    longest = n;
  }
  return longest;
}

} // namespace

std::string with_replacements(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    if (const auto n = utf8_length(bytes, at)) {
      out.append(bytes, at, n);
      at += n;
    } else {
      out += "\xEF\xBF\xBD";
      at += maximal_subpart(bytes, at);
    }
  }
  return out;
}

std::size_t unfinished_utf8(std::string_view bytes) {
  for (std::size_t n = 1; n <= 3 && n <= bytes.size(); ++n) {
    const auto at = bytes.size() - n;
    if ((static_cast<unsigned char>(bytes[at]) & 0xC0) == 0x80) continue; // goes on to the left
    return utf8_length(bytes, at) == 0 && maximal_subpart(bytes, at) == n &&
                   static_cast<unsigned char>(bytes[at]) >= 0xC2 &&
                   static_cast<unsigned char>(bytes[at]) <= 0xF4
               ? n
               : 0;
  }
  return 0;
}

} // namespace troupe

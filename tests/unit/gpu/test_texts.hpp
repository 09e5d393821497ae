#pragma once

#include "gpu/text/unicode.hpp"
#include "gpu/tokenizer.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/json.hpp"
#include <filesystem>

namespace troupe {

inline std::filesystem::path test_data() {
  return std::filesystem::path(TROUPE_SOURCE_DIR) / "tests/unit/gpu/data";
}

/// The texts of tests/oracles/test_texts.py, from the same numbers.
class test_texts {
public:
  explicit test_texts(std::vector<std::string> names) : names_(std::move(names)) {
    const auto pieces = *json::parse(*read_file(test_data() / "text_pieces.json"));
    for (auto& one : pieces.as_array()) pieces_.push_back(code_points(one.as_string()));
  }

  std::string text(std::uint64_t index) {
    state_ = (index + 1) * 0x9E3779B97F4A7C15u;
    for (int i = 0; i < 4; ++i) (void)below(1);
    std::string out;
    for (auto parts = 1 + below(6); parts > 0; --parts) add_part(out);
    return out;
  }

private:
  static std::u32string code_points(std::string_view text) {
    std::u32string out;
    for (std::size_t at = 0; at < text.size();) out += next_code_point(text, at);
    return out;
  }

  std::uint64_t below(std::uint64_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return (state_ >> 33) % n;
  }

  void add_part(std::string& out) {
    static const std::string_view spaces[] = {
        " ",    "  ",       "   ",          "\n",           "\n\n", "\t",       "\r\n",
        " \n ", "\xC2\xA0", "\xE3\x80\x80", "\xE2\x80\xA8", "\x0B", "\xC2\x85", "\xE1\xA0\x8E"};
    const auto kind = below(12);
    if (kind < 7) {
      const auto& piece = pieces_[below(pieces_.size())];
      const auto begin = below(piece.size());
      const auto count = 1 + below(40);
      for (char32_t c : piece.substr(begin, count)) append_utf8(out, c);
    } else if (kind == 7) {
      constexpr char32_t ends[] = {0x300, 0x3000, 0x10000, 0x20000, 0x110000};
      for (auto n = 1 + below(4); n > 0; --n) {
        const auto end = ends[below(5)];
        const auto point = static_cast<char32_t>(below(end));
        append_utf8(out, point >= 0xD800 && point < 0xE000 ? point + 0x800 : point);
      }
    } else if (kind == 8) {
      for (auto n = 1 + below(12); n > 0; --n) out += static_cast<char>(below(128));
    } else if (kind == 9) {
      for (auto n = 1 + below(4); n > 0; --n) out += spaces[below(std::size(spaces))];
    } else if (kind == 10) {
      for (auto n = 1 + below(9); n > 0; --n) out += static_cast<char>('0' + below(10));
    } else if (!names_.empty()) {
      out += names_[below(names_.size())];
    }
  }

  std::vector<std::string> names_;
  std::vector<std::u32string> pieces_;
  std::uint64_t state_ = 0;
};

/// FNV-1a over the ids, four bytes each, and an end mark.
inline std::uint32_t hash_ids(const std::vector<token>& ids, std::uint32_t state) {
  const auto add = [&](std::uint32_t number) {
    for (int i = 0; i < 4; ++i) state = (state ^ ((number >> (8 * i)) & 0xFF)) * 0x01000193u;
  };
  for (auto id : ids) add(static_cast<std::uint32_t>(id));
  add(0xFFFFFFFFu);
  return state;
}

} // namespace troupe

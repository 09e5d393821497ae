#include "gpu/text/normalizer.hpp"

#include "gpu/text/unicode.hpp"
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <utf8proc.h>

namespace troupe {

namespace {

/// Below this no form changes a character: NFC until U+0300 (the first combining mark), the others only in ASCII.
bool unchanged(std::string_view text, bool composed) {
  const unsigned char limit = composed ? 0xCC : 0x80; // U+0300 is CC 80
  return std::all_of(text.begin(), text.end(), [&](char c) { return static_cast<unsigned char>(c) < limit; });
}

void append_normal_form(std::string_view text, utf8proc_option_t options, std::string& to) {
  if (text.empty()) return;
  utf8proc_uint8_t* made = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &made,
                                 static_cast<utf8proc_option_t>(options | UTF8PROC_STABLE));
  if (size < 0)
    throw std::runtime_error(std::string("utf8proc: ") + utf8proc_errmsg(size)); // memory; the text is valid
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(made, &std::free);
  to.append(reinterpret_cast<const char*>(made), static_cast<std::size_t>(size));
}

/// The normal form as Unicode 9 has it: a younger character stands between two texts that are normalised alone.
std::string normal_form(std::string_view text, utf8proc_option_t options) {
  static const code_set younger(younger_normal_forms());
  std::string out;
  out.reserve(text.size());
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto here = at;
    if (!younger.contains(next_code_point(text, at))) continue;
    append_normal_form(text.substr(begin, here - begin), options, out);
    out.append(text, here, at - here);
    begin = at;
  }
  append_normal_form(text.substr(begin), options, out);
  return out;
}

std::string replaced(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string out;
  for (std::size_t at = 0;;) {
    const auto found = text.find(pattern, at);
    out += text.substr(at, found - at);
    if (found == text.npos) return out;
    out += content;
    at = found + pattern.size();
  }
}

} // namespace

expected<void> normalizer::add(const json::value& from, std::vector<step>& to, int depth) {
  if (from.is_null()) return {};
  const auto* fields = from.if_object();
  if (!fields || depth > 8) return fail(errc::invalid, "a normalizer is not an object");
  const auto type = json::string_at(*fields, "type");
  if (!type) return fail(type.error());
  if (*type == "Sequence") {
    const auto inner = json::array_at(*fields, "normalizers");
    if (!inner) return fail(inner.error());
    for (auto& one : **inner)
      if (auto added = add(one, to, depth + 1); !added) return added;
    return {};
  }
  constexpr std::pair<std::string_view, kind> forms[] = {
      {"NFC", kind::nfc}, {"NFD", kind::nfd}, {"NFKC", kind::nfkc}, {"NFKD", kind::nfkd}};
  for (auto& [name, what] : forms)
    if (*type == name) return to.push_back({.what = what}), expected<void>{};
  if (*type == "Prepend") {
    auto text = json::string_at(*fields, "prepend");
    if (!text) return fail(text.error());
    return to.push_back({kind::prepend, "", std::move(*text)}), expected<void>{};
  }
  if (*type == "Replace") {
    const auto pattern = json::object_at(*fields, "pattern");
    auto content = json::string_at(*fields, "content");
    if (!pattern || !content) return fail(errc::invalid, "a Replace normalizer lacks its pattern or content");
    auto text = json::string_at(**pattern, "String");
    if (!text || text->empty())
      return fail(errc::invalid, "a Replace normalizer whose pattern is no string is not supported");
    return to.push_back({kind::replace, std::move(*text), std::move(*content)}), expected<void>{};
  }
  return fail(errc::invalid, "the normalizer \"" + *type + "\" is not supported");
}

expected<normalizer> normalizer::from_json(const json::value& from) {
  normalizer out;
  if (auto added = add(from, out.steps_, 0); !added) return fail(added.error());
  return out;
}

std::string_view normalizer::apply(std::string_view text, std::string& room) const {
  const auto take = [&](std::string made) {
    room = std::move(made);
    text = room;
  };
  constexpr auto compose = UTF8PROC_COMPOSE, decompose = UTF8PROC_DECOMPOSE, compatible = UTF8PROC_COMPAT;
  const auto with = [](auto a, auto b) { return static_cast<utf8proc_option_t>(a | b); };
  for (auto& s : steps_) switch (s.what) {
    case kind::nfc:
      if (!unchanged(text, true)) take(normal_form(text, compose));
      break;
    case kind::nfd:
      if (!unchanged(text, false)) take(normal_form(text, decompose));
      break;
    case kind::nfkc:
      if (!unchanged(text, false)) take(normal_form(text, with(compose, compatible)));
      break;
    case kind::nfkd:
      if (!unchanged(text, false)) take(normal_form(text, with(decompose, compatible)));
      break;
    case kind::replace:
      if (text.find(s.pattern) != text.npos) take(replaced(text, s.pattern, s.content));
      break;
    case kind::prepend:
      if (!text.empty()) take(s.content + std::string(text));
      break;
    }
  return text;
}

} // namespace troupe

#include "gpu/text/pre_tokenizer.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

bool flag(const json::object& from, std::string_view key, bool absent) {
  const auto* found = from.if_contains(key);
  return found && found->is_bool() ? found->as_bool() : absent;
}

/// A string as a pattern that matches it alone.
std::string quoted(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (std::string_view("\\()[]{}.*+?^$|").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

} // namespace

expected<void> pre_tokenizer::add_stage(std::string_view pattern, behaviour how, bool invert) {
  auto made = split_regex::compile(pattern);
  if (!made) return fail(made.error());
  stages_.push_back({std::move(*made), how, invert});
  return {};
}

expected<void> pre_tokenizer::add(const json::value& from, pre_tokenizer& to, int depth) {
  if (from.is_null()) return {};
  const auto* fields = from.if_object();
  if (!fields || depth > 8) return fail(errc::invalid, "a pre-tokenizer is not an object");
  const auto type = json::string_at(*fields, "type");
  if (!type) return fail(type.error());
  if (to.byte_level_)
    return fail(errc::invalid, "the pre-tokenizer \"" + *type + "\" after ByteLevel is not supported");
  if (*type == "Sequence") {
    const auto inner = json::array_at(*fields, "pretokenizers");
    if (!inner) return fail(inner.error());
    if ((*inner)->size() > 64) return fail(errc::invalid, "more than 64 pre-tokenizers");
    for (auto& one : **inner)
      if (auto added = add(one, to, depth + 1); !added) return added;
    return {};
  }
  if (*type == "ByteLevel") {
    to.byte_level_ = true;
    to.prefix_space_ = flag(*fields, "add_prefix_space", true);
    if (to.prefix_space_ && !to.stages_.empty())
      return fail(errc::invalid,
                  "ByteLevel with add_prefix_space after another pre-tokenizer is not supported");
    return flag(*fields, "use_regex", true) ? to.add_stage(gpt2_pattern, behaviour::isolated, false)
                                            : expected<void>{};
  }
  if (*type == "Digits")
    return to.add_stage(
        R"(\p{N})", flag(*fields, "individual_digits", false) ? behaviour::isolated : behaviour::contiguous,
        false);
  constexpr std::string_view names[] = {"Isolated", "Removed", "Contiguous", "MergedWithPrevious",
                                        "MergedWithNext"};
  constexpr behaviour values[] = {behaviour::isolated, behaviour::removed, behaviour::contiguous,
                                  behaviour::merged_with_previous, behaviour::merged_with_next};
  if (*type != "Split")
    return fail(errc::invalid,
                "the pre-tokenizer \"" + *type + "\" is not supported: this is no byte-level model");
  const auto* given = fields->if_contains("behavior");
  const std::string_view name =
      given && given->is_string() ? std::string_view(given->as_string()) : "Isolated";
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names))
    return fail(errc::invalid, "the split behaviour \"" + std::string(name) + "\" is not supported");
  const auto how = values[found - std::begin(names)];
  const auto pattern = json::object_at(*fields, "pattern");
  if (!pattern) return fail(pattern.error());
  const auto regex = json::string_at(**pattern, "Regex"), text = json::string_at(**pattern, "String");
  if (!regex && !text) return fail(errc::invalid, "a split whose pattern is neither a Regex nor a String");
  return to.add_stage(regex ? *regex : quoted(*text), how, flag(*fields, "invert", false));
}

expected<pre_tokenizer> pre_tokenizer::from_json(const json::value& from) {
  pre_tokenizer out;
  if (auto added = add(from, out, 0); !added) return fail(added.error());
  if (!out.byte_level_)
    return fail(errc::invalid, "its pre-tokenizer has no ByteLevel: only byte-level models are supported");
  return out;
}

/// As Hugging Face's NormalizedString::split has it, place for place.
std::vector<pre_tokenizer::span> pre_tokenizer::arranged(const stage& s, std::string_view text) {
  std::vector<span> all;
  std::size_t last = 0;
  s.pattern.search(text, [&](std::size_t begin, std::size_t end) {
    if (begin > last) all.push_back({last, begin, s.invert});
    all.push_back({begin, end, !s.invert});
    last = end;
  });
  if (last < text.size()) all.push_back({last, text.size(), s.invert});
  std::vector<span> out;
  bool before = false;
  switch (s.how) {
  case behaviour::isolated: return all;
  case behaviour::removed:
    std::copy_if(all.begin(), all.end(), std::back_inserter(out), [](auto& one) { return !one.matched; });
    return out;
  case behaviour::contiguous:
    for (auto& one : all) {
      if (one.matched == before && !out.empty())
        out.back().end = one.end;
      else
        out.push_back(one);
      before = one.matched;
    }
    return out;
  case behaviour::merged_with_previous:
    for (auto& one : all) {
      if (one.matched && !before && !out.empty())
        out.back().end = one.end;
      else
        out.push_back(one);
      before = one.matched;
    }
    return out;
  case behaviour::merged_with_next:
    for (auto one = all.rbegin(); one != all.rend(); ++one) {
      if (one->matched && !before && !out.empty())
        out.back().begin = one->begin;
      else
        out.push_back(*one);
      before = one->matched;
    }
    std::reverse(out.begin(), out.end());
    return out;
  }
  return out;
}

} // namespace troupe

#include "gpu/chat/tool_calls.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr std::string_view hermes_begin = "<tool_call>", hermes_end = "</tool_call>",
                           python_tag = "<|python_tag|>", mistral_begin = "[TOOL_CALLS]",
                           mistral_arguments = "[ARGS]", white = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(white);
  return first == text.npos ? std::string_view()
                            : text.substr(first, text.find_last_not_of(white) - first + 1);
}

/// {"name": .., key: {..}}; arguments that are a string of JSON are taken, too.
std::optional<called_tool> call_of(const json::value& from) {
  const auto* fields = from.if_object();
  const auto* name = fields ? fields->if_contains("name") : nullptr;
  if (!name || !name->is_string() || name->get_string().empty()) return std::nullopt;
  const auto* arguments = fields->if_contains("arguments");
  if (!arguments) arguments = fields->if_contains("parameters");
  called_tool out{std::string(name->get_string()), "{}"};
  if (!arguments || arguments->is_null()) return out;
  if (arguments->is_object()) {
    out.arguments = json::dump(*arguments);
  } else if (arguments->is_string() && json::parse(arguments->get_string())) {
    out.arguments = std::string(arguments->get_string());
  } else {
    return std::nullopt;
  }
  return out;
}

std::optional<called_tool> call_of(std::string_view text) {
  const auto parsed = json::parse(trimmed(text));
  return parsed ? call_of(*parsed) : std::nullopt;
}

/// How long the JSON object or array at the beginning of `text` is; 0 if it is not whole.
std::size_t extent(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (--depth <= 0) return i + 1;
    }
    if (depth == 0 && !quoted) return 0; // it does not begin with a bracket
  }
  return 0;
}

/// All of the text is calls, or nothing.
std::optional<std::vector<called_tool>> llama3_calls(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with(python_tag)) text = trimmed(text.substr(python_tag.size()));
  std::vector<called_tool> out;
  while (!text.empty()) {
    const auto n = extent(text);
    auto call = n > 0 ? call_of(text.substr(0, n)) : std::nullopt;
    if (!call) return std::nullopt;
    out.push_back(std::move(*call));
    text = trimmed(text.substr(n));
    if (text.starts_with(';') || text.starts_with(',')) text = trimmed(text.substr(1));
  }
  if (out.empty()) return std::nullopt;
  return out;
}

std::optional<std::vector<called_tool>> mistral_calls(std::string_view text) {
  std::vector<called_tool> out;
  text = trimmed(text);
  if (text.starts_with('[') && !text.starts_with(mistral_begin)) {
    const auto n = extent(text);
    const auto parsed = json::parse(text.substr(0, n));
    if (n == 0 || !parsed || !parsed->is_array() || !trimmed(text.substr(n)).empty()) return std::nullopt;
    for (const auto& one : parsed->get_array()) {
      auto call = call_of(one);
      if (!call) return std::nullopt;
      out.push_back(std::move(*call));
    }
  } else {
    while (!text.empty()) {
      if (text.starts_with(mistral_begin)) text = trimmed(text.substr(mistral_begin.size()));
      const auto brace = text.find('{');
      if (brace == text.npos) return std::nullopt;
      auto name = trimmed(text.substr(0, brace));
      if (name.ends_with(mistral_arguments))
        name = trimmed(name.substr(0, name.size() - mistral_arguments.size()));
      const auto n = extent(text.substr(brace));
      if (name.empty() || n == 0 || name.find_first_of("[]{}\" \n") != name.npos) return std::nullopt;
      const auto arguments = json::parse(text.substr(brace, n));
      if (!arguments || !arguments->is_object()) return std::nullopt;
      out.push_back({std::string(name), json::dump(*arguments)});
      text = trimmed(text.substr(brace + n));
    }
  }
  if (out.empty()) return std::nullopt;
  return out;
}

/// How long the end of `text` is that could begin `marker`.
std::size_t partial(std::string_view text, std::string_view marker) {
  for (auto n = std::min(text.size(), marker.size() - 1); n > 0; --n)
    if (text.ends_with(marker.substr(0, n))) return n;
  return 0;
}

} // namespace

tool_family tool_family_of(std::string_view source) {
  const auto has = [&](std::string_view what) { return source.find(what) != source.npos; };
  if (has("[TOOL_CALLS]")) return tool_family::mistral;
  if (has("<tool_call>")) return tool_family::hermes;
  if (has("<|python_tag|>") || (has("ipython") && has("tools"))) return tool_family::llama3;
  return tool_family::none;
}

std::string_view name_of(tool_family family) {
  switch (family) {
  case tool_family::hermes: return "hermes";
  case tool_family::llama3: return "llama3_json";
  case tool_family::mistral: return "mistral";
  case tool_family::none: break;
  }
  return "none";
}

std::optional<tool_family> tool_family_by_name(std::string_view name) {
  for (auto family : {tool_family::none, tool_family::hermes, tool_family::llama3, tool_family::mistral})
    if (name == name_of(family)) return family;
  return std::nullopt;
}

const std::vector<std::string>& tool_markers(tool_family family) {
  static const std::vector<std::string> none, hermes = {"<tool_call>", "</tool_call>"},
                                              llama3 = {"<|python_tag|>"},
                                              mistral = {"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"};
  switch (family) {
  case tool_family::hermes: return hermes;
  case tool_family::llama3: return llama3;
  case tool_family::mistral: return mistral;
  default: return none;
  }
}

void tool_call_reader::say(found& out, std::string_view text) {
  if (text.empty()) return;
  const auto end = text.find_last_not_of(white);
  if (end == text.npos) {
    spaces_ += text;
    return;
  }
  out.text += std::exchange(spaces_, std::string(text.substr(end + 1)));
  out.text += text.substr(0, end + 1);
}

void tool_call_reader::read_hermes(found& out, bool last) {
  for (;;) {
    if (!inside_) {
      const auto at = held_.find(hermes_begin);
      const auto certain = at != held_.npos ? at : held_.size() - (last ? 0 : partial(held_, hermes_begin));
      say(out, std::string_view(held_).substr(0, certain));
      held_.erase(0, certain);
      if (at == held_.npos) return;
      held_.erase(0, hermes_begin.size());
      inside_ = true;
    }
    const auto at = held_.find(hermes_end);
    if (at == held_.npos && !last) return;
    const auto inner = held_.substr(0, at);
    if (auto call = call_of(std::string_view(inner))) {
      out.calls.push_back(std::move(*call));
      spaces_.clear();
      called_ = true;
    } else {
      say(out, std::string(hermes_begin) + inner + (at == held_.npos ? "" : std::string(hermes_end)));
    }
    held_.erase(0, at == held_.npos ? at : at + hermes_end.size());
    inside_ = false;
    if (held_.empty()) return;
  }
}

tool_call_reader::found tool_call_reader::push(std::string_view piece) {
  found out;
  if (family_ == tool_family::none || (decided_ && !inside_)) { // plain text
    out.text = piece;
    return out;
  }
  held_ += piece;
  if (family_ == tool_family::hermes) {
    read_hermes(out, false);
  } else if (family_ == tool_family::llama3 && !decided_) {
    const auto start = trimmed(held_);
    if (start.empty() || python_tag.starts_with(start.substr(0, python_tag.size()))) return out;
    decided_ = true;
    inside_ = start.starts_with('{') || start.starts_with(python_tag);
    if (!inside_) out.text = std::exchange(held_, {});
  } else if (family_ == tool_family::mistral && !inside_) {
    const auto at = held_.find(mistral_begin);
    const auto certain = at != held_.npos ? at : held_.size() - partial(held_, mistral_begin);
    say(out, std::string_view(held_).substr(0, certain));
    held_.erase(0, certain);
    inside_ = at != held_.npos;
  }
  return out;
}

tool_call_reader::found tool_call_reader::finish() {
  found out;
  if (family_ == tool_family::hermes) {
    read_hermes(out, true);
  } else if (!held_.empty()) {
    std::optional<std::vector<called_tool>> calls;
    if (family_ == tool_family::llama3) calls = llama3_calls(held_);
    if (family_ == tool_family::mistral && inside_)
      calls = mistral_calls(std::string_view(held_).substr(mistral_begin.size()));
    if (calls) {
      out.calls = std::move(*calls);
      called_ = true;
    } else {
      say(out, held_);
    }
    held_.clear();
  }
  const auto spaces = std::exchange(spaces_, {});
  if (!called_) out.text += spaces;
  return out;
}

} // namespace troupe

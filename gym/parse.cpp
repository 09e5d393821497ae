// The grammar of a turn:   turn := call+ | answer        with nothing around them, not even a space
//                          call := <tool_call> one JSON object </tool_call>
//                          answer := <answer> text </answer>
// The names of special tokens are reserved: none may stand inside a call or an answer.
#include "gym/chat.hpp"
#include "gym/chat_format.hpp"
#include "gym/episode.hpp"
#include "gym/schema.hpp"
#include <algorithm>

namespace troupe {

namespace {

constexpr std::string_view open_call = "<tool_call>", close_call = "</tool_call>";
constexpr std::string_view open_answer = "<answer>", close_answer = "</answer>";

struct failed {
  format_error kind;
  std::string detail;
};

std::string quote(std::string_view text) {
  const auto shown = clip_utf8(text, 40);
  return "\"" + std::string(shown) + (shown.size() < text.size() ? "...\"" : "\"");
}

/// The next special token's name at or after `from`: its place and length; npos if there is none.
struct mark {
  std::size_t at = std::string_view::npos, size = 0;
};
mark next_mark(std::string_view text, std::size_t from) {
  for (auto at = text.find('<', from); at != std::string_view::npos; at = text.find('<', at + 1))
    for (const auto& name : special_tokens())
      if (text.substr(at).starts_with(name)) return {at, name.size()};
  return {};
}

std::optional<failed> read_call(std::string_view body, const std::vector<call_schema>& tools,
                                tool_call& out) {
  auto parsed = json::parse(body);
  if (!parsed) return failed{format_error::not_json, parsed.error().message};
  auto* call = parsed->if_object();
  if (!call)
    return failed{format_error::not_json,
                  "found a " + std::string(json::type_name(*parsed)) + ", expected an object"};
  auto* name = call->if_contains("name");
  auto* arguments = call->if_contains("arguments");
  if (call->size() != 2 || !name || !name->is_string() || !arguments || !arguments->is_object())
    return failed{format_error::bad_call_shape, R"(expected exactly {"name": string, "arguments": object})"};
  out.tool = name->get_string();
  const auto known =
      std::find_if(tools.begin(), tools.end(), [&](const call_schema& t) { return t.name == out.tool; });
  if (known == tools.end()) return failed{format_error::unknown_tool, "no tool is called " + quote(out.tool)};
  if (auto fault = schema_fault(known->parameters, *arguments))
    return failed{format_error::bad_arguments, *fault};
  out.arguments = std::move(arguments->get_object());
  return std::nullopt;
}

std::optional<failed> read_turn(std::string_view text, const std::vector<call_schema>& tools, int max_calls,
                                parsed_turn& out) {
  for (std::size_t at = 0; at < text.size();) {
    const auto rest = text.substr(at);
    const bool call = rest.starts_with(open_call);
    if (!call && !rest.starts_with(open_answer)) {
      const auto kind = out.calls.empty() && !out.answer && next_mark(text, at).at == std::string_view::npos
                            ? format_error::nothing
                            : format_error::stray_text;
      return failed{kind, "found " + quote(rest) + ", expected a call or an answer"};
    }
    const auto begin = at + (call ? open_call : open_answer).size();
    const auto close = call ? close_call : close_answer;
    const auto end = next_mark(text, begin);
    if (end.at == std::string_view::npos || text.substr(end.at, end.size) != close)
      return failed{call ? format_error::unclosed_call : format_error::unclosed_answer,
                    "no " + std::string(close) + " after " + quote(rest)};
    const auto body = text.substr(begin, end.at - begin);
    at = end.at + end.size;
    if (call ? out.answer.has_value() : !out.calls.empty())
      return failed{format_error::call_and_answer, "a turn is either calls or one answer"};
    if (!call) {
      if (out.answer) return failed{format_error::stray_text, "a second answer"};
      if (body.find_first_not_of(" \t\r\n") == std::string_view::npos)
        return failed{format_error::empty_answer, "an answer of no words"};
      out.answer = std::string(body);
      continue;
    }
    if (static_cast<int>(out.calls.size()) >= max_calls)
      return failed{format_error::too_many_calls,
                    "more than " + std::to_string(max_calls) + " calls in one turn"};
    if (auto bad = read_call(body, tools, out.calls.emplace_back())) return bad;
  }
  if (out.calls.empty() && !out.answer) return failed{format_error::nothing, "an empty turn"};
  return std::nullopt;
}

std::string_view trimmed(std::string_view text) {
  constexpr auto spaces = " \t\r\n";
  const auto first = text.find_first_not_of(spaces);
  return first == text.npos ? std::string_view{}
                            : text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

std::optional<failed> read_free_turn(std::string_view text, const std::vector<call_schema>& tools,
                                     int max_calls, parsed_turn& out) {
  constexpr std::string_view thought = "</think>";
  if (const auto end = text.rfind(thought); end != text.npos) text.remove_prefix(end + thought.size());
  for (auto at = text.find(open_call); at != text.npos; at = text.find(open_call, at)) {
    const auto begin = at + open_call.size(), end = text.find(close_call, begin);
    if (end == text.npos)
      return failed{format_error::unclosed_call,
                    "no " + std::string(close_call) + " after " + quote(text.substr(at))};
    if (static_cast<int>(out.calls.size()) >= max_calls)
      return failed{format_error::too_many_calls,
                    "more than " + std::to_string(max_calls) + " calls in one turn"};
    if (auto bad = read_call(trimmed(text.substr(begin, end - begin)), tools, out.calls.emplace_back()))
      return bad;
    at = end + close_call.size();
  }
  const auto open = text.find(open_answer);
  if (!out.calls.empty())
    return open == text.npos
               ? std::nullopt
               : std::optional(failed{format_error::call_and_answer, "a turn is either calls or one answer"});
  if (open != text.npos) {
    const auto begin = open + open_answer.size(), end = text.find(close_answer, begin);
    if (end == text.npos)
      return failed{format_error::unclosed_answer,
                    "no " + std::string(close_answer) + " after " + quote(text.substr(open))};
    text = text.substr(begin, end - begin);
  }
  if (trimmed(text).empty()) {
    if (open != text.npos) return failed{format_error::empty_answer, "an answer of no words"};
    return failed{format_error::nothing, "an empty turn"};
  }
  out.answer = std::string(trimmed(text));
  return std::nullopt;
}

using turn_reader = std::optional<failed>(std::string_view, const std::vector<call_schema>&, int,
                                          parsed_turn&);

parsed_turn read_with(turn_reader* read, std::string_view text, bool ended,
                      const std::vector<call_schema>& tools, int max_calls) {
  parsed_turn out;
  std::optional<failed> bad;
  if (!ended)
    bad = failed{format_error::cut_off, "the turn reached its limit before its end token"};
  else if (!valid_utf8(text))
    bad = failed{format_error::not_utf8, "the turn is not UTF-8"};
  else
    bad = read(text, tools, max_calls, out);
  if (!bad) return out;
  return {{}, std::nullopt, bad->kind, std::move(bad->detail)};
}

} // namespace

parsed_turn parse_turn(std::string_view text, bool ended, const std::vector<call_schema>& tools,
                       int max_calls) {
  return read_with(read_turn, text, ended, tools, max_calls);
}

parsed_turn parse_free_turn(std::string_view text, bool ended, const std::vector<call_schema>& tools,
                            int max_calls) {
  return read_with(read_free_turn, text, ended, tools, max_calls);
}

std::string_view to_string(format_error kind) {
  switch (kind) {
  case format_error::none: return "none";
  case format_error::cut_off: return "cut_off";
  case format_error::unclosed_call: return "unclosed_call";
  case format_error::not_json: return "not_json";
  case format_error::bad_call_shape: return "bad_call_shape";
  case format_error::unknown_tool: return "unknown_tool";
  case format_error::bad_arguments: return "bad_arguments";
  case format_error::too_many_calls: return "too_many_calls";
  case format_error::unclosed_answer: return "unclosed_answer";
  case format_error::empty_answer: return "empty_answer";
  case format_error::call_and_answer: return "call_and_answer";
  case format_error::stray_text: return "stray_text";
  case format_error::nothing: return "nothing";
  case format_error::not_utf8: return "not_utf8";
  }
  return "none";
}

} // namespace troupe

#include "actors/chat_data.hpp"

#include "actors/chat_fields.hpp"

#include <algorithm>
#include <array>

namespace troupe {

namespace {

constexpr std::array<std::string_view, 5> roles = {"system", "developer", "user", "assistant", "tool"};

std::string found(const json::value* what) {
  return what ? "found a " + std::string(json::type_name(*what)) : "found nothing";
}

/// A call of an assistant, with its arguments as an object.
expected<json::object> read_call(const json::value& from) {
  const auto* call = from.if_object();
  const auto* function = call ? call->if_contains("function") : nullptr;
  if (!function || !function->is_object())
    return fail(errc::invalid,
                R"(expected {"type": "function", "function": {"name": .., "arguments": {..}}})");
  auto out = *call;
  auto& fields = out["function"].get_object();
  if (json::string_at(fields, "name").value_or("").empty())
    return fail(errc::invalid, "function.name: " + found(fields.if_contains("name")) + ", expected a name");
  auto* arguments = fields.if_contains("arguments");
  if (arguments && arguments->is_string()) { // as OpenAI's API writes them
    auto parsed = json::parse(arguments->get_string());
    if (!parsed) return fail(errc::invalid, "function.arguments: " + parsed.error().message);
    *arguments = std::move(*parsed);
  }
  if (!arguments || !arguments->is_object())
    return fail(errc::invalid, "function.arguments: " + found(arguments) + ", expected an object");
  return out;
}

struct read_message {
  json::object fields;
  bool learn = false;
};

expected<read_message> read(const json::value& from) {
  const auto bad = [](const std::string& why) { return fail(errc::invalid, why); };
  if (!from.is_object())
    return bad("found a " + std::string(json::type_name(from)) +
               ", expected an object with role and content");
  read_message out{from.get_object()};
  auto& fields = out.fields;
  const auto* role = fields.if_contains("role");
  const auto known = std::string("expected system, developer, user, assistant or tool");
  if (!role || !role->is_string()) return bad("role: " + found(role) + ", " + known);
  const std::string name(role->get_string());
  if (std::find(roles.begin(), roles.end(), name) == roles.end())
    return bad("role: found \"" + name + "\", " + known);

  const bool assistant = name == "assistant";
  auto* calls = fields.if_contains("tool_calls");
  if (calls && (calls->is_null() || (calls->is_array() && calls->get_array().empty())))
    fields.erase("tool_calls"), calls = nullptr;
  if (calls && !calls->is_array()) return bad("tool_calls: " + found(calls) + ", expected an array");
  if (calls && !assistant)
    return bad("tool_calls: found in a message of " + name + ", expected an assistant's");
  for (std::size_t i = 0; calls && i < calls->get_array().size(); ++i) {
    auto call = read_call(calls->get_array()[i]);
    if (!call) return bad("tool_calls[" + std::to_string(i) + "]: " + call.error().message);
    calls->get_array()[i] = std::move(*call);
  }
  const auto* content = fields.if_contains("content");
  auto text = content_text(content);
  if (!text || ((!content || content->is_null()) && !calls))
    return bad("content: " + found(content) + ", expected a string" +
               (assistant ? ", or tool_calls instead" : ", or parts of type text"));
  fields["content"] = *text;
  if (name == "developer") fields["role"] = "system"; // what templates know

  out.learn = assistant;
  if (const auto* weight = fields.if_contains("weight")) {
    const bool off = *weight == json::value(0), on = *weight == json::value(1);
    if (!assistant || !(off || on))
      return bad("weight: found " + json::dump(*weight) + " in a message of " + name +
                 ", expected 0 or 1 in an assistant's");
    out.learn = on;
    fields.erase("weight");
  }
  return out;
}

expected<chat_example> read_chat(const json::value& line) {
  const auto* from = line.if_object();
  if (!from)
    return fail(errc::invalid, "found a " + std::string(json::type_name(line)) + ", expected an object");
  chat_example out;
  const auto* messages = from->if_contains("messages");
  if (!messages || !messages->is_array() || messages->get_array().empty())
    return fail(errc::invalid,
                "messages: " + (messages && messages->is_array() ? "found none" : found(messages)) +
                    ", expected an array of at least one message");
  for (std::size_t i = 0; i < messages->get_array().size(); ++i) {
    auto one = read(messages->get_array()[i]);
    if (!one) return fail(errc::invalid, "messages[" + std::to_string(i) + "]: " + one.error().message);
    out.messages.push_back(std::move(one->fields));
    out.learn.push_back(one->learn);
  }
  if (std::find(out.learn.begin(), out.learn.end(), true) == out.learn.end())
    return fail(errc::invalid, "messages: found none of an assistant to learn, expected at least one");
  if (const auto* tools = from->if_contains("tools"); tools && !tools->is_null()) {
    if (!tools->is_array()) return fail(errc::invalid, "tools: " + found(tools) + ", expected an array");
    if (auto fine = check_tools(tools->get_array()); !fine) return fail(fine.error());
    out.tools = tools->get_array();
  }
  return out;
}

} // namespace

expected<std::vector<chat_example>> parse_chats(std::string_view rest, const std::string& file) {
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  std::vector<chat_example> out;
  for (int line = 1; !rest.empty(); ++line) {
    const auto end = rest.find('\n');
    const auto row = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto place = file + ":" + std::to_string(line);
    auto parsed = json::parse(row);
    if (!parsed) return fail(errc::invalid, place + ": " + parsed.error().message);
    auto one = read_chat(*parsed);
    if (!one) return fail(errc::invalid, place + ": " + one.error().message);
    one->place = place;
    out.push_back(std::move(*one));
  }
  if (out.empty()) return fail(errc::invalid, file + ": found no chat, expected one JSON object a line");
  return out;
}

} // namespace troupe

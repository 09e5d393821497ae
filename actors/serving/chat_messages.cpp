#include "actors/serving/chat_messages.hpp"

#include "actors/chat_fields.hpp"
#include "gpu/text/unicode.hpp"

namespace troupe::serving {

namespace {

std::optional<api_error> read_messages(field_reader& in, json::array& to) {
  const auto* list = in.list("messages");
  if (!list || list->empty()) {
    in.wrong("messages", "an array of at least one message");
    return in.error();
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto at = "messages[" + std::to_string(i) + "]";
    const auto bad = [&](const std::string& why) {
      return api_error{400, at + ": " + why, "messages", "invalid_value"};
    };
    const auto* fields = (*list)[i].if_object();
    if (!fields)
      return bad("found " + std::string(json::type_name((*list)[i])) +
                 ", expected an object with role and content");
    const auto role = json::string_at(*fields, "role");
    if (!role) return bad("role: " + role.error().message);
    auto text = content_text(fields->if_contains("content"));
    if (!text) return bad("content: expected a string, null, or an array of parts of type text");
    json::object message = *fields;
    message["role"] = *role == "developer" ? "system" : *role; // what templates know
    message["content"] = *text;
    if (const auto* calls = message.if_contains("tool_calls")) {
      if (calls->is_null() || (calls->is_array() && calls->get_array().empty()))
        message.erase("tool_calls");
      else if (!calls->is_array())
        return bad("tool_calls: expected an array");
    }
    to.push_back(std::move(message));
  }
  return std::nullopt;
}

std::optional<api_error> read_tools(field_reader& in, json::array& to, const language_model& model,
                                    const api_rules& rules) {
  const auto* choice = in.find("tool_choice");
  const bool off = choice && choice->is_string() && choice->get_string() == "none";
  if (choice && !off && !(choice->is_string() && choice->get_string() == "auto"))
    return api_error{
        400,
        "tool_choice: found " + json::dump(*choice) +
            ", expected \"auto\" or \"none\": a call cannot be forced, as nothing is that is sampled",
        "tool_choice", "unsupported_parameter"};
  const auto* list = in.list("tools");
  if (in.error() || !list || list->empty() || off) return in.error();
  if (auto fine = check_tools(*list); !fine)
    return api_error{400, fine.error().message, "tools", "invalid_value"};
  if (rules.tools == tool_family::none)
    return api_error{400, "the chat template of " + model.name + " does not know tools", "tools",
                     "unsupported_parameter"};
  to = *list;
  return std::nullopt;
}

} // namespace

api_expected<conversation_input> read_conversation(field_reader& in, const language_model& model,
                                                   const api_rules& rules) {
  conversation_input out;
  if (auto bad = read_messages(in, out.messages)) return tl::unexpected<api_error>(*bad);
  if (auto bad = read_tools(in, out.tools, model, rules)) return tl::unexpected<api_error>(*bad);
  out.continue_last = in.boolean("continue_final_message");
  out.add_generation_prompt = in.boolean("add_generation_prompt", !out.continue_last);
  if (out.continue_last && out.add_generation_prompt)
    in.fail({400,
             "continue_final_message and add_generation_prompt cannot both be true",
             "continue_final_message",
             {}});
  if (const auto* more = in.map("chat_template_kwargs")) out.more = *more;
  in.unsupported("chat_template", "the model's own is used");
  if (in.error()) return tl::unexpected<api_error>(*in.error());
  return out;
}

std::string shown_token(const language_model& model, token id) {
  return with_replacements(model.words->decode({id}));
}

std::string shown_text(const language_model& model, const std::vector<token>& ids) {
  return with_replacements(model.words->decode(ids));
}

} // namespace troupe::serving

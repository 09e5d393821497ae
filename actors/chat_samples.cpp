#include "actors/chat_samples.hpp"

#include "actors/model_chat.hpp"
#include "gpu/chat/tool_calls.hpp"

#include <algorithm>

namespace troupe {

namespace {

std::string_view role_of(const json::value& message) {
  return std::string_view(message.at("role").get_string());
}

/// For a template without a word for tools: what model_chat tells of them, and calls in the text that episodes read.
void write_tools_as_text(chat_example& chat) {
  for (auto& message : chat.messages) {
    auto& fields = message.get_object();
    const auto* calls = fields.if_contains("tool_calls");
    if (!calls) continue;
    std::string text(fields.at("content").get_string());
    for (const auto& call : calls->get_array()) {
      const auto& function = call.at("function").get_object();
      text +=
          "<tool_call>" +
          json::dump(json::object{{"name", function.at("name")}, {"arguments", function.at("arguments")}}) +
          "</tool_call>";
    }
    fields["content"] = text;
    fields.erase("tool_calls");
  }
  if (chat.tools.empty()) return;
  json::array functions;
  for (const auto& one : chat.tools) functions.push_back(one.at("function"));
  const auto told = tool_instructions(functions);
  if (role_of(chat.messages[0]) == "system") {
    auto& content = chat.messages[0].get_object()["content"];
    content = std::string(content.get_string()) + "\n" + told;
  } else {
    chat.messages.insert(chat.messages.begin(), json::object{{"role", "system"}, {"content", told}});
    chat.learn.insert(chat.learn.begin(), false);
  }
  chat.tools.clear();
}

/// The first `count` messages as the template writes them.
expected<std::string> written(const language_model& model, const chat_example& chat, std::size_t count,
                              bool prompt) {
  conversation_input in;
  in.messages = json::array(chat.messages.begin(), chat.messages.begin() + count);
  in.tools = chat.tools;
  in.add_generation_prompt = prompt;
  auto text = conversation_text(model, in, 0);
  if (!text) return fail(errc::invalid, chat.place + ": " + text.error().message);
  return text;
}

/// How much of a turn's text the model has to generate: up to and with its last end token. npos: none is there.
std::size_t end_of_turn(const language_model& model, const std::vector<token>& ends, std::string_view turn) {
  std::size_t out = std::string_view::npos;
  for (token id : ends) {
    const auto name = model.words->decode({id});
    const auto at = turn.rfind(name);
    if (at != turn.npos && (out == turn.npos || at + name.size() > out)) out = at + name.size();
  }
  return out;
}

void add(sft_sample& to, const std::vector<token>& ids, float weight) {
  to.tokens.insert(to.tokens.end(), ids.begin(), ids.end());
  to.weights.resize(to.tokens.size(), weight);
}

} // namespace

expected<std::vector<sft_sample>> chat_samples(const language_model& model, const std::vector<token>& ends,
                                               const chat_example& given) {
  auto chat = given;
  if (tool_family_of(model.template_source) == tool_family::none) {
    write_tools_as_text(chat);
    if (!written(model, chat, chat.messages.size(), false)) // some templates refuse the role tool
      for (auto& message : chat.messages)
        if (role_of(message) == "tool") message.get_object()["role"] = "user";
  }
  std::vector<sft_sample> out;
  std::string text; // of the last sample
  for (std::size_t i = 0; i < chat.messages.size(); ++i) {
    if (!chat.learn[i]) continue;
    const auto before = written(model, chat, i, true), after = written(model, chat, i + 1, false);
    if (!before) return fail(before.error());
    if (!after) return fail(after.error());
    const auto refuse = [&](const std::string& why) {
      return fail(errc::invalid, chat.place + ": messages[" + std::to_string(i) + "]: the chat template of " +
                                     model.name + why);
    };
    if (!after->starts_with(*before))
      return refuse(" prompts for this turn with other text than it writes before it");
    const auto turn = std::string_view(*after).substr(before->size());
    const auto size = end_of_turn(model, ends, turn);
    if (size == turn.npos) return refuse(" writes no token behind this turn that ends it");
    if (out.empty() || !before->starts_with(text)) out.emplace_back(), text.clear(); // SFT-2
    add(out.back(), conversation_tokens(model, std::string_view(*before).substr(text.size())), 0);
    add(out.back(), conversation_tokens(model, turn.substr(0, size)), 1); // SFT-1
    text = after->substr(0, before->size() + size);
  }
  return out;
}

} // namespace troupe

#include "actors/model_chat.hpp"

#include "gym/chat.hpp"
#include <algorithm>

namespace troupe {

namespace {

// Marks that no template and no vocabulary holds: private-use characters.
constexpr std::string_view question_mark = "\uE000question\uE001", turn_mark = "\uE000turn\uE001",
                           result_mark = "\uE000result\uE001";

json::array tools_json(const tool_set& tools) {
  json::array out;
  for (const auto& t : tools)
    out.push_back(json::object{{"type", "function"},
                               {"function", json::object{{"name", t->spec().name},
                                                         {"description", t->spec().description},
                                                         {"parameters", t->spec().parameters}}}});
  return out;
}

std::string own_system_text(const tool_set& tools, bool describe) {
  std::string out = "Answer the question.";
  if (describe) {
    json::array functions;
    for (const auto& t : tools)
      functions.push_back(json::object{{"name", t->spec().name},
                                       {"description", t->spec().description},
                                       {"parameters", t->spec().parameters}});
    out += " " + tool_instructions(functions) + "\n";
  }
  return out + " When you know the answer, write only <answer>the answer in a few words</answer>.";
}

/// Appends, joining plain text with plain text: what is tokenised together in the template is together here.
void append(std::vector<text_piece>& to, const std::vector<text_piece>& more) {
  for (const auto& piece : more) {
    if (piece.text.empty()) continue;
    if (!piece.special && !to.empty() && !to.back().special)
      to.back().text += piece.text;
    else
      to.push_back(piece);
  }
}

std::vector<text_piece> around(const std::vector<text_piece>& before, std::string text,
                               const std::vector<text_piece>& after) {
  auto out = before;
  append(out, {{false, std::move(text)}});
  append(out, after);
  return out;
}

/// Where an end token's name comes first from `from` on: its place and the token.
struct found_end {
  std::size_t at = std::string::npos, size = 0;
  token id = -1;
};
found_end first_end(const tokenizer& words, const std::string& text, std::size_t from) {
  for (token id : words.encode(std::string_view(text).substr(from), {.read_added = true})) {
    const auto name = words.decode({id});
    if (const auto known = words.special(name); !known || *known != id) continue;
    if (name.find("tool_call") != name.npos || name.find("TOOL_CALLS") != name.npos) continue; // of the call
    return {text.find(name, from), name.size(), id};
  }
  return {};
}

} // namespace

std::string tool_instructions(const json::array& functions) {
  std::string out = "You can call tools. To call one, write only\n<tool_call>{\"name\": NAME, \"arguments\": "
                    "OBJECT}</tool_call>\nand its result comes back. The tools:";
  for (const auto& one : functions) out += "\n" + json::dump(one);
  return out;
}

std::vector<text_piece> template_pieces(const tokenizer& words, std::string_view text) {
  std::vector<text_piece> out;
  std::size_t at = 0;
  for (token id : words.encode(text, {.read_added = true})) {
    const auto name = words.decode({id});
    if (const auto known = words.special(name); !known || *known != id) continue;
    const auto place = text.find(name, at);
    if (place == text.npos) continue;
    append(out, {{false, std::string(text.substr(at, place - at))}, {true, name}});
    at = place + name.size();
  }
  append(out, {{false, std::string(text.substr(at))}});
  return out;
}

expected<std::shared_ptr<const model_chat>>
model_chat::make(const language_model& model, const tool_set& tools, const std::string& system) {
  const auto refuse = [&](const std::string& why) {
    return fail(errc::invalid, "the chat template of " + model.name + " " + why);
  };
  auto out = std::make_shared<model_chat>();
  out->words_ = model.words;
  const auto said = [](std::string_view role, std::string_view content) {
    return json::object{{"role", role}, {"content", content}};
  };
  // A template's own words about tools are used if they lead to calls that episodes read; else ours are.
  const bool knows_tools = !tools.empty() && model.template_source.find("<tool_call>") != std::string::npos;
  bool knows_system = true;
  const auto render = [&](const json::array& more) {
    conversation_input in;
    if (knows_system)
      in.messages.push_back(said("system", system.empty() ? own_system_text(tools, !knows_tools) : system));
    for (const auto& message : more) in.messages.push_back(message);
    if (knows_tools) in.tools = tools_json(tools);
    return conversation_text(model, in, 0);
  };
  const json::array asked{said("user", question_mark)};
  auto opening = render(asked);
  if (!opening) knows_system = false, opening = render(asked); // some templates refuse a system's message
  if (!opening) return fail(opening.error());
  const auto place = opening->find(question_mark);
  if (place == opening->npos) return refuse("does not show a user's message as it is");
  out->before_question_ = template_pieces(*model.words, std::string_view(*opening).substr(0, place));
  out->after_question_ =
      template_pieces(*model.words, std::string_view(*opening).substr(place + question_mark.size()));

  // What follows a turn: a tool's message if the template takes one, else the user's.
  auto calling = said("assistant", turn_mark);
  calling["tool_calls"] = json::array{
      json::object{{"id", "call00000"},
                   {"type", "function"},
                   {"function", json::object{{"name", tools.empty() ? "none" : tools[0]->spec().name},
                                             {"arguments", json::object{}}}}}};
  auto result = said("tool", result_mark);
  result["tool_call_id"] = "call00000";
  result["name"] = tools.empty() ? "none" : tools[0]->spec().name;
  const std::pair<json::object, json::object> ways[] = {
      {said("assistant", turn_mark), result},
      {calling, result},
      {said("assistant", turn_mark), said("user", result_mark)}};
  for (const auto& [turn, answer] : ways) {
    auto more = asked;
    more.push_back(turn), more.push_back(answer);
    const auto text = render(more);
    if (!text) continue;
    const auto turn_at = text->find(turn_mark), result_at = text->find(result_mark);
    if (turn_at == text->npos || result_at == text->npos || result_at < turn_at) continue;
    const auto end = first_end(*model.words, *text, turn_at + turn_mark.size());
    if (end.id < 0 || end.at + end.size > result_at) continue;
    const auto from = end.at + end.size;
    out->before_results_ =
        template_pieces(*model.words, std::string_view(*text).substr(from, result_at - from));
    out->after_results_ =
        template_pieces(*model.words, std::string_view(*text).substr(result_at + result_mark.size()));
    out->ends_ = {end.id};
    for (token id : model.ends)
      if (id != end.id) out->ends_.push_back(id);
    return out;
  }
  return refuse(
      "shows no end of an assistant's turn that is followed by a result: it cannot be used for episodes");
}

std::vector<text_piece> model_chat::opening(const std::string& question) const {
  return around(before_question_, question, after_question_);
}

std::vector<text_piece> model_chat::results(const std::vector<observation>& results, int max_chars) const {
  return around(before_results_, results_text(results, max_chars), after_results_);
}

sft_sample model_chat::sample(const demonstration& demo, double other_weight) const {
  sft_sample out;
  const auto add = [&](const std::vector<token>& ids, float weight) {
    out.tokens.insert(out.tokens.end(), ids.begin(), ids.end());
    out.weights.resize(out.tokens.size(), weight);
  };
  const auto other = static_cast<float>(other_weight);
  std::string role, text;
  bool learn = false;
  for (const auto& part : demo) {
    const auto& piece = part.piece;
    if (piece.special &&
        (piece.text == "<|user|>" || piece.text == "<|assistant|>" || piece.text == "<|tool|>")) {
      role = piece.text, text.clear(), learn = false;
    } else if (piece.special && piece.text == end_token) {
      if (role == "<|user|>")
        add(words_->encode(opening(text)), other);
      else if (role == "<|tool|>" && !out.tokens.empty() && out.tokens.back() == ends_.front())
        add(words_->encode(results({{text, false}}, 1 << 20)), other);
      else if (role == "<|tool|>") { // a drill that begins with what a search has found: a message of its own
        add({ends_.front()}, other);
        add(words_->encode(results({{text, false}}, 1 << 20)), other);
      } else if (role == "<|assistant|>") {
        auto ids = words_->encode(text, {.read_added = true});
        ids.push_back(ends_.front());
        add(ids, learn ? 1.0f : other);
      }
    } else {
      text += piece.text;
      learn = learn || part.learn;
    }
  }
  return out;
}

} // namespace troupe

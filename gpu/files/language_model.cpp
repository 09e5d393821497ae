#include "gpu/files/language_model.hpp"

#include "gpu/files/gguf_model.hpp"
#include "gpu/files/hf_model.hpp"
#include "runtime/base/file.hpp"
#include <algorithm>

namespace troupe {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t largest_json = std::size_t{64} << 20;

/// A JSON file of a model's folder; an empty object where it is not there.
expected<json::object> optional_json(const fs::path& file) {
  const auto bytes = read_file(file, largest_json);
  if (!bytes && bytes.error().code == errc::not_found) return json::object{};
  if (!bytes) return fail(bytes.error());
  auto parsed = json::parse(*bytes);
  if (!parsed) return fail(errc::corrupt, file.string() + ": " + parsed.error().message);
  if (!parsed->is_object())
    return fail(errc::corrupt, file.string() + ": found a " + std::string(json::type_name(*parsed)) +
                                   ", expected an object");
  return std::move(parsed->get_object());
}

/// A token's name as tokenizer_config.json has it: a string, or an object with "content".
std::string token_name(const json::object& from, std::string_view key) {
  const auto* it = from.if_contains(key);
  if (it && it->is_object()) it = it->get_object().if_contains("content");
  return it && it->is_string() ? std::string(it->get_string()) : std::string();
}

/// "chat_template" of tokenizer_config.json: a text, or a list of named ones of which "default" is meant.
std::string named_template(const json::object& from) {
  const auto* it = from.if_contains("chat_template");
  if (!it) return {};
  if (const auto* text = it->if_string()) return std::string(*text);
  if (const auto* list = it->if_array())
    for (const auto& one : *list)
      if (const auto* entry = one.if_object();
          entry && json::string_at(*entry, "name").value_or("") == "default")
        return json::string_at(*entry, "template").value_or("");
  return {};
}

void add_ends(std::vector<token>& to, const json::object& from, int vocabulary) {
  const auto add = [&](const json::value& id) {
    const auto* n = id.if_int64();
    if (n && *n >= 0 && *n < vocabulary && std::find(to.begin(), to.end(), *n) == to.end())
      to.push_back(static_cast<token>(*n));
  };
  const auto* it = from.if_contains("eos_token_id");
  if (!it) return;
  if (const auto* list = it->if_array())
    for (const auto& id : *list) add(id);
  else
    add(*it);
}

/// What generation_config.json says of sampling, where it makes sense; the rest stays as it is.
void read_sampling(sampling_params& to, const json::object& from) {
  const auto number = [&](const char* key, double absent, double least, double most) {
    const auto found = json::number_at(from, key);
    return found && *found >= least && *found <= most ? *found : absent;
  };
  to.temperature = number("temperature", to.temperature, 0, 100);
  to.top_p = number("top_p", to.top_p, 1e-9, 1);
  to.top_k = static_cast<int>(number("top_k", to.top_k, 0, 1e9));
  to.min_p = number("min_p", to.min_p, 0, 1);
  to.repetition_penalty = number("repetition_penalty", to.repetition_penalty, 1e-3, 100);
}

expected<void> take_template(language_model& to, std::string source) {
  if (source.empty()) return {};
  auto made = chat_template::compile(source);
  if (!made) return fail(made.error().code, "the chat template of " + to.name + ": " + made.error().message);
  to.conversation = std::move(*made);
  to.template_source = std::move(source);
  return {};
}

expected<language_model> load_folder(const fs::path& folder, tensor_form form) {
  language_model out;
  const auto whole = fs::weakly_canonical(folder);
  out.name = whole.filename().string();
  auto weights = load_hf_model(folder, form);
  if (!weights) return fail(weights.error());
  auto words = tokenizer::load(folder / "tokenizer.json");
  if (!words && words.error().code == errc::not_found) {
    out.weights = std::make_shared<const model_weights>(std::move(*weights));
    return out;
  }
  if (!words) return fail(words.error());
  const auto config = optional_json(folder / "config.json"),
             spoken = optional_json(folder / "tokenizer_config.json"),
             generation = optional_json(folder / "generation_config.json");
  for (const auto* part : {&config, &spoken, &generation})
    if (!*part) return fail(part->error());
  out.bos = token_name(*spoken, "bos_token");
  out.eos = token_name(*spoken, "eos_token");
  add_ends(out.ends, *generation, weights->config.vocab_size);
  if (out.ends.empty()) add_ends(out.ends, *config, weights->config.vocab_size);
  if (auto id = words->special(out.eos);
      id && std::find(out.ends.begin(), out.ends.end(), *id) == out.ends.end())
    out.ends.push_back(*id);
  read_sampling(out.sampling, *generation);
  auto source = named_template(*spoken);
  if (const auto file = read_file(folder / "chat_template.jinja", largest_json)) source = *file;
  out.weights = std::make_shared<const model_weights>(std::move(*weights));
  out.words = std::make_shared<const tokenizer>(std::move(*words));
  if (auto fine = take_template(out, std::move(source)); !fine) return fail(fine.error());
  return out;
}

expected<language_model> load_file(const fs::path& file, tensor_form form) {
  auto read = load_gguf_model(file, form);
  if (!read) return fail(read.error());
  language_model out;
  out.name = file.stem().string();
  out.weights = std::make_shared<const model_weights>(std::move(read->weights));
  if (!read->words) return out;
  out.ends = read->ends;
  out.words = std::make_shared<const tokenizer>(std::move(*read->words));
  if (read->bos >= 0) out.bos = out.words->decode({read->bos});
  if (!out.ends.empty()) out.eos = out.words->decode({out.ends.front()});
  if (auto fine = take_template(out, std::move(read->chat_template)); !fine) return fail(fine.error());
  return out;
}

/// OpenAI's API has the arguments of a call as a string of JSON; templates write them as an object.
void unfold_arguments(json::value& message) {
  auto* fields = message.if_object();
  auto* calls = fields ? fields->if_contains("tool_calls") : nullptr;
  if (!calls || !calls->is_array()) return;
  for (auto& call : calls->get_array()) {
    auto* function = call.is_object() ? call.get_object().if_contains("function") : nullptr;
    auto* arguments =
        function && function->is_object() ? function->get_object().if_contains("arguments") : nullptr;
    if (!arguments || !arguments->is_string()) continue;
    if (auto parsed = json::parse(arguments->get_string()); parsed && parsed->is_object())
      *arguments = std::move(*parsed);
  }
}

} // namespace

expected<language_model> load_model_files(const fs::path& place, tensor_form form) {
  std::error_code ignored;
  if (!fs::exists(place, ignored))
    return fail(errc::not_found,
                "no model at " + place.string() + " (expected a folder with config.json, or a GGUF file)");
  auto out = fs::is_directory(place, ignored) ? load_folder(place, form) : load_file(place, form);
  if (!out || !out->words) return out;
  if (const int rows = out->weights->config.vocab_size; out->words->vocab_size() > rows)
    return fail(errc::corrupt, place.string() + ": its tokenizer has " +
                                   std::to_string(out->words->vocab_size()) + " tokens, its embedding " +
                                   std::to_string(rows) + " rows; they do not belong together");
  return out;
}

expected<language_model> load_language_model(const fs::path& place, tensor_form form) {
  auto out = load_model_files(place, form);
  if (out && !out->words)
    return fail(errc::not_found, place.string() + (fs::is_directory(place) ? " has no tokenizer.json"
                                                                           : " holds no tokenizer"));
  return out;
}

std::vector<token> prompt_tokens(const language_model& model, std::string_view text) {
  return model.words->encode(text, {.read_added = true, .add_template = true});
}

std::vector<token> conversation_tokens(const language_model& model, std::string_view text) {
  return model.words->encode(text, {.read_added = true, .add_template = false});
}

expected<std::string> conversation_text(const language_model& model, const conversation_input& what,
                                        std::int64_t now) {
  if (!model.conversation)
    return fail(errc::invalid,
                "the model " + model.name + " has no chat template: it takes plain text alone");
  json::object variables = what.more;
  auto messages = what.messages;
  for (auto& message : messages) unfold_arguments(message);
  std::string last;
  if (what.continue_last && !messages.empty()) {
    const auto* fields = messages.back().if_object();
    last = fields ? json::string_at(*fields, "content").value_or("") : "";
    if (last.empty()) return fail(errc::invalid, "the last message has no text to go on with");
  }
  variables["messages"] = std::move(messages);
  if (what.tools.empty())
    variables["tools"] = nullptr;
  else
    variables["tools"] = what.tools;
  variables["add_generation_prompt"] = what.add_generation_prompt && !what.continue_last;
  if (!model.bos.empty()) variables["bos_token"] = model.bos;
  if (!model.eos.empty()) variables["eos_token"] = model.eos;
  auto text = model.conversation->render(variables, now);
  if (!text) return fail(errc::invalid, "the chat template of " + model.name + ": " + text.error().message);
  if (!last.empty()) {
    const auto at = text->rfind(last);
    if (at == text->npos)
      return fail(errc::invalid, "the chat template does not show the last message's text");
    text->resize(at + last.size());
  }
  return text;
}

} // namespace troupe

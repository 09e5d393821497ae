#include "actors/run_model.hpp"

#include "gpu/files/model_folder.hpp"
#include "runtime/base/file.hpp"

namespace troupe {

namespace fs = std::filesystem;

namespace {
constexpr const char *words_file = "tokenizer.json", *model_file = "model.json";
}

expected<void> keep_run_model(const language_model& model, const fs::path& data) {
  if (auto saved = model.words->save(data / words_file); !saved) return saved;
  const json::object about{{"name", model.name},
                           {"chat_template", model.template_source},
                           {"bos", model.bos},
                           {"eos", model.eos},
                           {"ends", json::array(model.ends.begin(), model.ends.end())}};
  return write_file_atomically(data / model_file, json::dump(about));
}

expected<language_model> kept_run_model(const fs::path& data) {
  const auto bytes = read_file(data / model_file);
  if (!bytes) return fail(bytes.error());
  const auto bad = [&](const std::string& why) {
    return fail(errc::corrupt, (data / model_file).string() + ": " + why);
  };
  const auto parsed = json::parse(*bytes);
  if (!parsed || !parsed->is_object()) return bad("is not a JSON object");
  const auto& about = parsed->get_object();
  language_model out;
  for (auto [key, to] : {std::pair{"name", &out.name},
                         {"chat_template", &out.template_source},
                         {"bos", &out.bos},
                         {"eos", &out.eos}}) {
    auto text = json::string_at(about, key);
    if (!text) return bad(text.error().message);
    *to = std::move(*text);
  }
  const auto ends = json::array_at(about, "ends");
  if (!ends) return bad(ends.error().message);
  for (const auto& id : **ends) {
    if (!id.is_int64()) return bad("\"ends\" holds " + json::dump(id) + ", expected tokens");
    out.ends.push_back(static_cast<token>(id.get_int64()));
  }
  auto words = tokenizer::load(data / words_file);
  if (!words) return fail(words.error());
  out.words = std::make_shared<const tokenizer>(std::move(*words));
  auto conversation = chat_template::compile(out.template_source);
  if (!conversation) return bad(conversation.error().message);
  out.conversation = std::move(*conversation);
  return out;
}

expected<std::shared_ptr<const model_chat>> set_rules(trajectory_rules& rules, const language_model& model,
                                                      const tool_set& tools, const run_config& config) {
  auto chat = model_chat::make(model, tools, config.model.system);
  if (!chat) return chat;
  rules.words = model.words;
  rules.format = *chat;
  rules.ends = (*chat)->ends();
  return chat;
}

expected<std::map<std::string, std::string>> companions_of(const language_model& model, const fs::path& data,
                                                           const run_config& config) {
  auto out = conversation_files(model);
  auto words = read_file(data / words_file);
  if (!words) return fail(words.error());
  out[words_file] = std::move(*words);
  if (config.learner.lora_rank > 0)
    out["adapter/adapter_config.json"] =
        json::dump(json::object{{"peft_type", "LORA"},
                                {"task_type", "CAUSAL_LM"},
                                {"base_model_name_or_path", config.model.path},
                                {"r", config.learner.lora_rank},
                                {"lora_alpha", config.learner.lora_alpha},
                                {"lora_dropout", 0.0},
                                {"bias", "none"},
                                {"target_modules", json::array(config.learner.lora_targets.begin(),
                                                               config.learner.lora_targets.end())}});
  return out;
}

} // namespace troupe

#include "cli/commands.hpp"
#include "cli/model_argument.hpp"
#include "cli/run_folder.hpp"
#include "cli/terminal_text.hpp"

#include "actors/serving/api_request.hpp"
#include "gpu/files/tensor_formats.hpp"

#include <iostream>

namespace troupe::cli {

namespace {

std::string_view kind_of(const std::filesystem::path& place) {
  if (run_folder{place}.exists()) return "run";
  return std::filesystem::is_directory(place) ? "folder" : "gguf";
}

json::array names_of(const language_model& model, const std::vector<token>& tokens) {
  json::array out;
  for (token id : tokens) out.emplace_back(model.words->decode({id}));
  return out;
}

json::value tokenizer_facts(const language_model& model) {
  if (!model.words) return nullptr;
  json::object out{{"tokens", model.words->vocab_size()}, {"ends", names_of(model, model.ends)}};
  out["bos"] = model.bos.empty() ? json::value(nullptr) : json::value(model.bos);
  out["eos"] = model.eos.empty() ? json::value(nullptr) : json::value(model.eos);
  return out;
}

json::value template_facts(const language_model& model) {
  if (!model.conversation) return nullptr;
  return json::object{{"bytes", model.template_source.size()},
                      {"tool_calls", name_of(serving::tools_of(model))}};
}

json::object facts_of(const std::filesystem::path& place, const language_model& model,
                      const std::vector<tensor_format>& formats) {
  const auto& c = model.weights->config;
  const auto parameters = parameter_count(c);
  json::object types;
  std::int64_t stored = 0;
  for (const auto& one : formats) {
    types[one.name] = json::object{{"tensors", one.tensors}, {"weights", one.weights}, {"bytes", one.bytes}};
    stored += one.bytes;
  }
  return {{"name", model.name},
          {"kind", kind_of(place)},
          {"architecture", to_json(c).at("model_type")},
          {"parameters", parameters},
          {"layers", c.num_hidden_layers},
          {"width", c.hidden_size},
          {"heads", c.num_attention_heads},
          {"kv_heads", c.num_key_value_heads},
          {"head_dim", c.head_dim},
          {"feed_forward", c.intermediate_size},
          {"context", c.max_position_embeddings},
          {"vocabulary", c.vocab_size},
          {"tied_output", c.tie_word_embeddings},
          {"memory", json::object{{"float32", parameters * 4},
                                  {"as_stored", stored},
                                  {"kv_per_token", kv_bytes(c, 1 << 16) / (1 << 16)}}},
          {"tensor_types", std::move(types)},
          {"tokenizer", tokenizer_facts(model)},
          {"chat_template", template_facts(model)}};
}

std::string count(const json::value& number) { return grouped(number.to_number<double>()); }
std::string megabytes(const json::value& bytes) { return fixed(bytes.to_number<double>() / 1e6, 1) + " MB"; }

std::string tokenizer_words(const json::value& facts) {
  if (facts.is_null()) return "none";
  const auto& of = facts.get_object();
  std::string out = count(of.at("tokens")) + " tokens";
  for (const auto* key : {"bos", "eos"})
    if (const auto* name = of.at(key).if_string())
      out += std::string(", ") + key + " " + printable(std::string_view(*name));
  std::string ends;
  for (const auto& name : of.at("ends").get_array())
    ends += (ends.empty() ? "" : " or ") + printable(std::string_view(name.get_string()));
  return out + (ends.empty() ? ", no token ends a turn" : "; a turn ends with " + ends);
}

std::string template_words(const json::value& facts) {
  if (facts.is_null()) return "none: it takes plain text";
  const auto& of = facts.get_object();
  const auto calls = std::string(of.at("tool_calls").get_string());
  return count(of.at("bytes")) + " bytes, " +
         (calls == "none" ? "knows no tools" : "calls of tools as " + calls + " writes them");
}

std::string tensor_words(const json::object& types) {
  std::string out;
  for (const auto& [name, facts] : types)
    out += (out.empty() ? "" : ", ") + count(facts.at("tensors")) + " " + std::string(name);
  return out;
}

std::string page_of(const json::object& f) {
  const auto& memory = f.at("memory").get_object();
  std::string out = printable(std::string_view(f.at("name").get_string())) + "\n";
  const auto line = [&](std::string_view title, const std::string& words) {
    out += "  " + pad_right(title, 15) + words + "\n";
  };
  line("architecture", std::string(f.at("architecture").get_string()) + ", " + count(f.at("layers")) +
                           " layers of width " + count(f.at("width")) + ", " + count(f.at("heads")) +
                           " heads of " + count(f.at("head_dim")) + " (" + count(f.at("kv_heads")) +
                           " of keys and values), feed-forward " + count(f.at("feed_forward")));
  line("parameters", count(f.at("parameters")));
  line("memory", megabytes(memory.at("as_stored")) + " as stored, " + megabytes(memory.at("float32")) +
                     " as float32; keys and values " + count(memory.at("kv_per_token")) + " bytes a token");
  line("tensors", tensor_words(f.at("tensor_types").get_object()));
  line("context", count(f.at("context")) + " tokens");
  line("vocabulary", count(f.at("vocabulary")) + " rows, output " +
                         (f.at("tied_output").get_bool() ? "tied to them" : "of its own"));
  line("tokenizer", tokenizer_words(f.at("tokenizer")));
  line("chat template", template_words(f.at("chat_template")));
  return out;
}

} // namespace

int model_info(const model_info_arguments& arguments) {
  const auto model = load_model_to_look_at(arguments.model);
  if (!model) return complain(model.error());
  const bool run = run_folder{arguments.model}.exists();
  const auto formats = run ? expected<std::vector<tensor_format>>(tensor_formats_of(*model->weights))
                           : tensor_formats_of(arguments.model);
  if (!formats) return complain(formats.error());
  const auto facts = facts_of(arguments.model, *model, *formats);
  std::cout << (arguments.json ? json::dump(facts) + "\n" : page_of(facts));
  return ok;
}

} // namespace troupe::cli

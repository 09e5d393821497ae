#include "gpu/files/model_folder.hpp"

#include "runtime/base/file.hpp"
#include <unistd.h>

namespace troupe {

namespace fs = std::filesystem;

namespace {

constexpr const char* words_file = "tokenizer.json";
/// Of a folder of transformers, what says how text becomes tokens and tokens become text.
constexpr const char* companions[] = {
    words_file,   "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",     "vocab.json",
    "merges.txt", "chat_template.jinja",   "chat_template.json",      "generation_config.json"};

expected<void> copy_companions(const fs::path& from, const fs::path& to) {
  for (const auto* name : companions) {
    const auto bytes = read_file(from / name);
    if (!bytes && bytes.error().code == errc::not_found) continue;
    if (!bytes) return fail(bytes.error());
    if (auto done = write_file_atomically(to / name, *bytes); !done) return done;
  }
  return {};
}

expected<void> write_companions(const language_model& model, const fs::path& to) {
  if (!model.words) return {};
  if (auto saved = model.words->save(to / words_file); !saved) return saved;
  for (const auto& [name, bytes] : conversation_files(model))
    if (auto done = write_file_atomically(to / name, bytes); !done) return done;
  return {};
}

} // namespace

std::map<std::string, std::string> conversation_files(const language_model& model) {
  std::map<std::string, std::string> out;
  json::object about{{"tokenizer_class", "PreTrainedTokenizerFast"}};
  if (!model.bos.empty()) about["bos_token"] = model.bos;
  if (!model.eos.empty()) about["eos_token"] = model.eos;
  if (!model.template_source.empty()) {
    about["chat_template"] = model.template_source;
    out["chat_template.jinja"] = model.template_source;
  }
  out["tokenizer_config.json"] = json::dump(about);
  json::object generation;
  if (model.ends.size() == 1)
    generation["eos_token_id"] = model.ends.front();
  else if (!model.ends.empty())
    generation["eos_token_id"] = json::array(model.ends.begin(), model.ends.end());
  out["generation_config.json"] = json::dump(generation);
  return out;
}

expected<void> save_model_folder(const fs::path& folder, const language_model& model, weight_format format,
                                 const fs::path& originals) {
  const auto taken = [&] { return fs::exists(fs::symlink_status(folder)); };
  const auto refuse = [&] {
    return fail(errc::invalid, folder.string() + " is there already; expected the name of a folder to make");
  };
  if (taken()) return refuse();
  auto place = folder.lexically_normal();
  if (!place.has_filename()) place = place.parent_path(); // "to/" means "to"
  if (place.has_parent_path())
    if (auto made = make_folders(place.parent_path()); !made) return made;
  const auto unfinished = fs::path(place.string() + ".unfinished-" + std::to_string(::getpid()));
  auto written = save_hf_model(unfinished, *model.weights, format);
  if (written)
    written =
        originals.empty() ? write_companions(model, unfinished) : copy_companions(originals, unfinished);
  std::error_code failed;
  if (written) {
    if (taken()) // somebody else has made it in the meantime
      written = refuse();
    else if (fs::rename(unfinished, place, failed); failed)
      written = fail(errc::io, "naming " + place.string() + ": " + failed.message());
  }
  if (!written) fs::remove_all(unfinished, failed);
  return written;
}

} // namespace troupe

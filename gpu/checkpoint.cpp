#include "gpu/checkpoint.hpp"

#include "gpu/safetensors.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/hash.hpp"
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fcntl.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t format = 1;
constexpr std::string_view unfinished = ".unfinished-", prefix = "step-";
constexpr const char *config_file = "config.json", *model_file = "model.safetensors",
                     *optimizer_file = "optimizer.safetensors", *manifest_file = "manifest.json";

/// The step of a folder named "step-N".
std::optional<std::uint64_t> step_of(const fs::path& folder) {
  const auto name = folder.filename().string();
  if (!name.starts_with(prefix)) return std::nullopt;
  std::uint64_t step = 0;
  const auto* end = name.data() + name.size();
  const auto [at, code] = std::from_chars(name.data() + prefix.size(), end, step);
  if (code != std::errc() || at != end) return std::nullopt;
  return step;
}

/// All step folders, the newest first.
expected<std::vector<std::pair<std::uint64_t, fs::path>>> step_folders(const fs::path& folder) {
  std::error_code code;
  std::vector<std::pair<std::uint64_t, fs::path>> out;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code))
    if (const auto step = step_of(at->path())) out.emplace_back(*step, at->path());
  if (code)
    return fail(code == std::errc::no_such_file_or_directory ? errc::not_found : errc::io,
                "cannot list " + folder.string() + ": " + code.message());
  std::sort(out.rbegin(), out.rend());
  return out;
}

expected<void> remove_folder(const fs::path& folder) {
  std::error_code code;
  fs::remove_all(folder, code);
  if (code) return fail(errc::io, "cannot remove " + folder.string() + ": " + code.message());
  return {};
}

/// Writes one file of a checkpoint and notes its size and hash in the manifest.
expected<void> add_file(const fs::path& folder, const std::string& name, const std::string& bytes,
                        json::object& files) {
  files[name] = json::object{{"size", bytes.size()}, {"sha256", sha256(bytes)}};
  return write_file_atomically(folder / name, bytes);
}

constexpr std::string_view seal_start = ",\"sha256\":\"", seal_end = "\"}";

/// The text of a manifest with its hash as the last field, taken over the text without it.
std::string sealed(const json::object& manifest) {
  auto text = json::dump(manifest);
  const auto hash = sha256(text);
  text.pop_back();
  return text.append(seal_start).append(hash).append(seal_end);
}

/// Whether this is, byte for byte, what `sealed` wrote. Over the text and not over what it means: the same fields may be written
/// otherwise by another version of this program.
expected<void> check_seal(std::string_view text) {
  const auto at = text.rfind(seal_start);
  if (at == std::string_view::npos || !text.ends_with(seal_end))
    return fail(errc::corrupt, "has no hash at its end");
  const auto from = at + seal_start.size();
  const auto seal =
      text.substr(from, text.size() - seal_end.size() - std::min(from, text.size() - seal_end.size()));
  if (const auto found = sha256(std::string(text.substr(0, at)) + "}"); found != seal)
    return fail(errc::corrupt, "hash " + found + ", expected " + std::string(seal));
  return {};
}

expected<json::object> read_manifest(const fs::path& folder) {
  const auto file = folder / manifest_file;
  const auto bytes = read_file(file);
  if (!bytes) return fail(bytes.error());
  const auto bad = [&](const std::string& why) { return fail(errc::corrupt, file.string() + ": " + why); };
  auto parsed = json::parse(*bytes);
  if (!parsed) return bad(parsed.error().message);
  if (!parsed->is_object())
    return bad("is a " + std::string(json::type_name(*parsed)) + ", expected an object");
  auto& manifest = parsed->as_object();
  const auto written = json::int_at(manifest, "format");
  if (!written) return bad(written.error().message);
  if (*written != format)
    return fail(errc::version, file.string() + ": format " + std::to_string(*written) +
                                   ", this program reads " + std::to_string(format));
  if (auto fine = check_seal(*bytes); !fine) return bad(fine.error().message);
  return std::move(manifest);
}

/// A file that the manifest names, whole and as it was written.
expected<std::string> read_listed(const fs::path& folder, const json::object& manifest, const char* name) {
  const auto file = folder / name;
  const auto bad = [&](const std::string& why) { return fail(errc::corrupt, file.string() + ": " + why); };
  const auto files = json::object_at(manifest, "files");
  if (!files) return bad(files.error().message);
  const auto about = json::object_at(**files, name);
  if (!about) return bad("the manifest does not name it");
  const auto size = json::int_at(**about, "size");
  const auto hash = json::string_at(**about, "sha256");
  if (!size || !hash) return bad("the manifest lacks its size or hash");
  auto bytes = read_file(file, std::size_t{1} << 40);
  if (!bytes) return bytes.error().code == errc::not_found ? bad("is missing") : fail(bytes.error());
  if (bytes->size() != static_cast<std::size_t>(*size))
    return bad("has " + std::to_string(bytes->size()) + " bytes, expected " + std::to_string(*size));
  if (const auto found = sha256(*bytes); found != *hash) return bad("hash " + found + ", expected " + *hash);
  return bytes;
}

expected<model_weights> read_weights(const fs::path& folder, const json::object& manifest) {
  const auto bytes = read_listed(folder, manifest, config_file);
  if (!bytes) return fail(bytes.error());
  const auto bad = [&](const char* name, const std::string& why) {
    return fail(errc::corrupt, (folder / name).string() + ": " + why);
  };
  const auto parsed = json::parse(*bytes);
  if (!parsed || !parsed->is_object()) return bad(config_file, "is not a JSON object");
  const auto config = model_config_from_json(parsed->as_object());
  if (!config) return bad(config_file, config.error().message);
  const auto data = read_listed(folder, manifest, model_file);
  if (!data) return fail(data.error());
  auto tensors = parse_safetensors(*data, (folder / model_file).string());
  if (!tensors) return fail(tensors.error());
  const auto shapes = expected_shapes(*config);
  for (auto& [name, shape] : shapes)
    if (const auto found = tensors->find(name); found == tensors->end() || found->second.shape != shape)
      return bad(model_file, "tensor " + name +
                                 (found == tensors->end() ? " is missing"
                                                          : " has another shape than the config asks for"));
  if (tensors->size() != shapes.size())
    return bad(model_file, "holds tensors that the config does not ask for");
  return model_weights{*config, std::move(*tensors)};
}

/// Gives a finished folder its name. One that already has it (a step done again after a resume) is replaced
/// in one step.
expected<void> publish(const fs::path& made, const fs::path& target) {
  if (::rename(made.c_str(), target.c_str()) == 0) return sync_folder(target.parent_path());
  if (errno != ENOTEMPTY && errno != EEXIST) return fail(system_error("cannot rename to", target));
  if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0) {
    if (auto removed = remove_folder(target); !removed)
      return removed; // a file system that cannot exchange names
    if (::rename(made.c_str(), target.c_str()) != 0) return fail(system_error("cannot rename to", target));
    return sync_folder(target.parent_path());
  }
  if (auto synced = sync_folder(target.parent_path()); !synced) return synced;
  return remove_folder(made);
}

} // namespace

expected<fs::path> save_checkpoint(const fs::path& folder, const checkpoint& what,
                                   const std::map<std::string, std::string>& companions) {
  const auto name = std::string(prefix) + std::to_string(what.step);
  auto target = folder / name, made = folder / (std::string(unfinished) + name);
  if (auto removed = remove_folder(made); !removed) return fail(removed.error());
  if (auto there = make_folders(made); !there) return fail(there.error());
  json::object files;
  auto written = add_file(made, config_file, json::dump(to_json(what.weights.config)), files);
  if (written)
    written = add_file(made, model_file, format_safetensors(what.weights.tensors, {{"format", "pt"}}), files);
  if (written && what.optimizer)
    written = add_file(made, optimizer_file, format_safetensors(what.optimizer->tensors), files);
  if (written && !what.adapters.empty()) {
    std::map<std::string, host_tensor> named;
    for (const auto& [tensor, values] : what.adapters) named["base_model.model." + tensor] = values;
    written = make_folders(made / "adapter");
    if (written)
      written = add_file(made, "adapter/adapter_model.safetensors",
                         format_safetensors(named, {{"format", "pt"}}), files);
  }
  for (const auto& [companion, bytes] : companions) {
    if (written) written = make_folders((made / companion).parent_path());
    if (written) written = add_file(made, companion, bytes, files);
  }
  if (written) {
    json::object manifest{{"format", format},
                          {"step", what.step},
                          {"version", what.version},
                          {"files", std::move(files)},
                          {"extra", what.extra}};
    written = write_file_atomically(made / manifest_file, sealed(manifest));
  }
  if (written) written = publish(made, target);
  if (!written) {
    std::error_code ignored;
    fs::remove_all(made, ignored);
    return fail(written.error());
  }
  return target;
}

expected<checkpoint> load_checkpoint(const fs::path& step_folder) {
  const auto manifest = read_manifest(step_folder);
  if (!manifest) return fail(manifest.error());
  const auto step = json::int_at(*manifest, "step"), version = json::int_at(*manifest, "version");
  const auto extra = json::object_at(*manifest, "extra");
  const auto files = json::object_at(*manifest, "files");
  if (!step || !version || !extra || !files)
    return fail(errc::corrupt,
                (step_folder / manifest_file).string() + ": lacks step, version, extra or files");
  if (const auto named = step_of(step_folder); named && *named != static_cast<std::uint64_t>(*step))
    return fail(errc::corrupt,
                step_folder.string() + ": holds the checkpoint of step " + std::to_string(*step));
  auto weights = read_weights(step_folder, *manifest);
  if (!weights) return fail(weights.error());
  checkpoint out{.step = static_cast<std::uint64_t>(*step),
                 .version = static_cast<std::uint64_t>(*version),
                 .weights = std::move(*weights),
                 .optimizer = std::nullopt,
                 .extra = **extra};
  if ((*files)->contains(optimizer_file)) {
    const auto bytes = read_listed(step_folder, *manifest, optimizer_file);
    if (!bytes) return fail(bytes.error());
    auto tensors = parse_safetensors(*bytes, (step_folder / optimizer_file).string());
    if (!tensors) return fail(tensors.error());
    out.optimizer = model_weights{out.weights.config, std::move(*tensors)};
  }
  return out;
}

expected<std::vector<fs::path>> list_checkpoints(const fs::path& folder) {
  auto steps = step_folders(folder);
  if (!steps) return fail(steps.error());
  std::vector<fs::path> out;
  for (auto& [step, path] : *steps) out.push_back(std::move(path));
  return out;
}

expected<checkpoint> load_latest_checkpoint(const fs::path& folder,
                                            const std::function<void(const error&)>& skipped) {
  const auto steps = step_folders(folder);
  if (!steps) return fail(steps.error());
  std::optional<error> newest;
  for (auto& [step, path] : *steps) {
    auto loaded = load_checkpoint(path);
    if (loaded) return loaded;
    if (skipped) skipped(loaded.error());
    if (!newest) newest = loaded.error();
  }
  if (newest)
    return fail(newest->code,
                "no usable checkpoint in " + folder.string() + "; of the newest: " + newest->message);
  return fail(errc::not_found, "no checkpoint in " + folder.string());
}

expected<void> prune_checkpoints(const fs::path& folder, int keep) {
  if (keep < 1)
    return fail(errc::invalid, "prune: keep is " + std::to_string(keep) + ", expected at least 1");
  const auto steps = step_folders(folder);
  if (!steps) return fail(steps.error());
  int kept = 0; // a damaged folder takes nobody's place; it goes when it is older than all that stay
  for (auto& [step, path] : *steps) {
    if (kept < keep) {
      kept += read_manifest(path).has_value();
    } else { // under another name first: nobody sees half a checkpoint
      const auto aside = folder / (std::string(unfinished) + path.filename().string());
      if (auto removed = remove_folder(aside); !removed) return removed;
      std::error_code code;
      fs::rename(path, aside, code);
      if (code) return fail(errc::io, "cannot rename " + path.string() + ": " + code.message());
    }
  }
  std::vector<fs::path> remains;
  std::error_code code;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code))
    if (at->path().filename().string().starts_with(unfinished)) remains.push_back(at->path());
  for (auto& path : remains)
    if (auto removed = remove_folder(path); !removed) return removed;
  return {};
}

} // namespace troupe

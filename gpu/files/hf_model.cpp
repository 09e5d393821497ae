#include "gpu/files/hf_model.hpp"

#include "gpu/files/half.hpp"
#include "gpu/files/mapped_file.hpp"
#include "gpu/safetensors.hpp"
#include "runtime/base/file.hpp"
#include <cstring>
#include <optional>
#include <set>

namespace troupe {

namespace fs = std::filesystem;

namespace {

constexpr const char *config_file = "config.json", *single_file = "model.safetensors",
                     *index_file = "model.safetensors.index.json";
constexpr std::size_t largest_json = std::size_t{64} << 20;

expected<json::value> read_json(const fs::path& file) {
  const auto bytes = read_file(file, largest_json);
  if (!bytes) return fail(bytes.error());
  auto parsed = json::parse(*bytes);
  if (!parsed) return fail(errc::corrupt, file.string() + ": " + parsed.error().message);
  if (!parsed->is_object())
    return fail(errc::corrupt, file.string() + ": found a " + std::string(json::type_name(*parsed)) +
                                   ", expected an object");
  return parsed;
}

/// Which file each tensor is in; an empty map where there is one file without an index.
expected<std::map<std::string, std::string>> read_index(const fs::path& folder) {
  std::map<std::string, std::string> out;
  std::error_code ignored;
  if (fs::exists(folder / single_file, ignored)) return out;
  const auto root = read_json(folder / index_file);
  if (!root && root.error().code == errc::not_found)
    return fail(errc::not_found, folder.string() + " has neither " + single_file + " nor " + index_file);
  if (!root) return fail(root.error());
  const auto bad = [&](const std::string& why) {
    return fail(errc::corrupt, (folder / index_file).string() + ": " + why);
  };
  const auto map = json::object_at(root->as_object(), "weight_map");
  if (!map) return bad(map.error().message);
  for (auto& [tensor, file] : **map) {
    const auto* name = file.if_string();
    if (!name || name->empty() || name->find('/') != name->npos || *name == "..")
      return bad("tensor \"" + std::string(tensor) + "\" is in " + json::dump(file) +
                 ", expected the name of a file in this folder");
    out.emplace(tensor, std::string(*name));
  }
  if (out.empty()) return bad("its weight_map is empty");
  return out;
}

std::set<std::string> files_in(const std::map<std::string, std::string>& index) {
  std::set<std::string> out;
  for (auto& [tensor, file] : index) out.insert(file);
  if (out.empty()) out.insert(single_file);
  return out;
}

bool is_left_over(const std::string& name, const model_config& config) {
  return name.ends_with(".rotary_emb.inv_freq") || (name == "lm_head.weight" && config.tie_word_embeddings);
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return json::dump(json::array(shape.begin(), shape.end()));
}

template <class Convert>
void convert_halves(std::string_view from, std::vector<float>& to, Convert convert) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, from.data() + 2 * i, 2);
    to[i] = convert(bits);
  }
}

std::optional<ggml_type> type_of(const std::string& dtype) {
  if (dtype == "F32") return ggml_type::f32;
  if (dtype == "BF16") return ggml_type::bf16;
  if (dtype == "F16") return ggml_type::f16;
  return std::nullopt;
}

/// Its weights as float32. The shape is right already, so that nothing is allocated that the config did not ask for.
expected<host_tensor> read_tensor(const tensor_place& place) {
  host_tensor out{place.shape, {}};
  const std::size_t width = place.dtype == "F32" ? 4 : 2;
  out.data.resize(place.data.size() / width);
  if (place.dtype == "F32")
    std::memcpy(out.data.data(), place.data.data(), place.data.size());
  else if (place.dtype == "BF16")
    convert_halves(place.data, out.data, from_bfloat16);
  else if (place.dtype == "F16")
    convert_halves(place.data, out.data, from_float16);
  else
    return fail(errc::invalid,
                "tensor \"" + place.name + "\" is of " + place.dtype + ", supported are F32, BF16 and F16");
  return out;
}

/// Adds the tensors of one file. `index` says which of them are expected there; empty: all.
expected<void> read_shard(const fs::path& file, const std::map<std::string, std::string>& index,
                          const std::map<std::string, std::vector<std::int64_t>>& shapes, tensor_form form,
                          model_weights& to) {
  const auto bad = [&](errc code, const std::string& why) { return fail(code, file.string() + ": " + why); };
  auto opened = mapped_file::open(file);
  if (!opened) return fail(opened.error());
  const auto map = std::make_shared<const mapped_file>(std::move(*opened));
  const auto places = list_safetensors(map->bytes(), file.string());
  if (!places) return fail(places.error());
  for (auto& place : *places) {
    if (const auto listed = index.find(place.name);
        !index.empty() && (listed == index.end() || listed->second != file.filename()))
      return bad(errc::corrupt, "tensor \"" + place.name + "\" is here, the index has it " +
                                    (listed == index.end() ? "nowhere" : "in " + listed->second));
    const auto wanted = shapes.find(place.name);
    if (wanted == shapes.end()) {
      if (is_left_over(place.name, to.config)) continue;
      return bad(errc::corrupt, "tensor \"" + place.name + "\" is none that the config asks for");
    }
    if (place.shape != wanted->second)
      return bad(errc::corrupt, "tensor \"" + place.name + "\" has shape " + shape_text(place.shape) +
                                    ", the config asks for " + shape_text(wanted->second));
    const auto type = type_of(place.dtype);
    const bool folded = place.name == "model.previous_token_map.weight"; // into a table, whatever the engine
    if (form == tensor_form::as_stored && place.shape.size() == 2 && type && !folded) {
      to.stored.insert_or_assign(place.name, stored_tensor{place.shape, *type, place.data, map});
      continue;
    }
    auto read = read_tensor(place);
    if (!read) return bad(read.error().code, read.error().message);
    to.tensors.insert_or_assign(place.name, std::move(*read));
  }
  return {};
}

template <class Convert>
void append_halves(std::string& to, const std::vector<float>& from, Convert convert) {
  for (float value : from) {
    const std::uint16_t bits = convert(value);
    to.append(reinterpret_cast<const char*>(&bits), 2);
  }
}

/// One file's bytes: header and data of the tensors from `begin` to `end`.
template <class Iterator>
std::string format_shard(Iterator begin, Iterator end, weight_format format) {
  const bool whole = format == weight_format::float32;
  json::object header{{"__metadata__", json::object{{"format", "pt"}}}};
  std::size_t size = 0;
  for (auto i = begin; i != end; ++i) {
    const auto after = size + i->second.data.size() * (whole ? 4 : 2);
    header[i->first] = json::object{{"dtype", whole                               ? "F32"
                                              : format == weight_format::bfloat16 ? "BF16"
                                                                                  : "F16"},
                                    {"shape", json::array(i->second.shape.begin(), i->second.shape.end())},
                                    {"data_offsets", json::array{size, after}}};
    size = after;
  }
  auto text = json::dump(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t length = text.size();
  std::string out(reinterpret_cast<const char*>(&length), 8);
  out.reserve(8 + text.size() + size);
  out += text;
  for (auto i = begin; i != end; ++i) {
    const auto& data = i->second.data;
    if (whole)
      out.append(reinterpret_cast<const char*>(data.data()), data.size() * 4);
    else if (format == weight_format::bfloat16)
      append_halves(out, data, to_bfloat16);
    else
      append_halves(out, data, to_float16);
  }
  return out;
}

std::string shard_name(std::size_t number, std::size_t of) {
  char out[64];
  std::snprintf(out, sizeof out, "model-%05zu-of-%05zu.safetensors", number, of);
  return out;
}

} // namespace

expected<void> check_tensors(const model_weights& weights, const std::string& name) {
  for (auto& [tensor, shape] : expected_shapes(weights.config)) {
    const auto found = weights.tensors.find(tensor);
    const auto stored = weights.stored.find(tensor);
    if (found == weights.tensors.end() && stored == weights.stored.end())
      return fail(errc::corrupt, name + ": tensor \"" + tensor + "\" is missing, the config asks for it");
    const auto& there = found == weights.tensors.end() ? stored->second.shape : found->second.shape;
    if (there != shape)
      return fail(errc::corrupt, name + ": tensor \"" + tensor + "\" has shape " + shape_text(there) +
                                     ", the config asks for " + shape_text(shape));
  }
  return {};
}

expected<model_weights> load_hf_model(const fs::path& folder, tensor_form form) {
  const auto about = read_json(folder / config_file);
  if (!about) return fail(about.error());
  const auto config = model_config_from_json(about->as_object());
  if (!config)
    return fail(config.error().code, (folder / config_file).string() + ": " + config.error().message);
  const auto index = read_index(folder);
  if (!index) return fail(index.error());
  model_weights out{.config = *config, .tensors = {}};
  const auto shapes = expected_shapes(*config);
  for (auto& file : files_in(*index))
    if (auto read = read_shard(folder / file, *index, shapes, form, out); !read) return fail(read.error());
  if (auto fine = check_tensors(out, folder.string()); !fine) return fail(fine.error());
  return out;
}

expected<std::vector<fs::path>> weight_files(const fs::path& folder) {
  const auto index = read_index(folder);
  if (!index) return fail(index.error());
  std::vector<fs::path> out;
  for (auto& file : files_in(*index)) out.push_back(folder / file);
  return out;
}

expected<void> save_hf_model(const fs::path& folder, const model_weights& weights, weight_format format,
                             std::size_t largest_file) {
  if (!weights.stored.empty()) return save_hf_model(folder, as_float32(weights), format, largest_file);
  if (weights.config.previous_token_map)
    return fail(
        errc::invalid,
        "a model with a previous_token_map is Troupe's own: transformers would compute something else");
  auto about = to_json(weights.config);
  const auto read_back = model_config_from_json(about);
  if (!read_back || *read_back != weights.config)
    return fail(errc::invalid, "what this model is cannot be said in the config.json of a " +
                                   std::string(about.at("model_type").get_string()) +
                                   ": transformers would compute something else");
  if (auto fine = check_tensors(weights, folder.string()); !fine) return fail(fine.error());
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return fail(errc::io, "making " + folder.string() + ": " + failed.message());
  using place = std::map<std::string, host_tensor>::const_iterator;
  std::vector<std::pair<place, place>> shards;
  const std::size_t width = format == weight_format::float32 ? 4 : 2;
  std::size_t size = 0, total = 0;
  for (auto i = weights.tensors.begin(); i != weights.tensors.end(); ++i) {
    const auto bytes = i->second.data.size() * width;
    if (shards.empty() || size + bytes > largest_file) shards.emplace_back(i, i), size = 0;
    shards.back().second = std::next(i);
    size += bytes, total += bytes;
  }
  json::object map;
  for (std::size_t n = 0; n < shards.size(); ++n) {
    const auto name = shards.size() == 1 ? std::string(single_file) : shard_name(n + 1, shards.size());
    for (auto i = shards[n].first; i != shards[n].second; ++i) map[i->first] = name;
    if (auto done =
            write_file_atomically(folder / name, format_shard(shards[n].first, shards[n].second, format));
        !done)
      return done;
  }
  if (shards.size() > 1) {
    const json::object index{{"metadata", json::object{{"total_size", total}}},
                             {"weight_map", std::move(map)}};
    if (auto done = write_file_atomically(folder / index_file, json::dump(index)); !done) return done;
  }
  about["torch_dtype"] = format == weight_format::float32    ? "float32"
                         : format == weight_format::bfloat16 ? "bfloat16"
                                                             : "float16";
  return write_file_atomically(folder / config_file, json::dump(about));
}

} // namespace troupe

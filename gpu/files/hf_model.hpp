#pragma once

#include "gpu/weights.hpp"
#include <filesystem>

namespace troupe {

/// The number format of weights in a file.
enum class weight_format : std::uint8_t { float32, bfloat16, float16 };

/// Reads a model as Hugging Face's transformers saves it: a folder with config.json and model.safetensors, or several files and
/// their model.safetensors.index.json. Files are mapped, not read; weights become float32, or matrices
/// stay where they are, as stored. Llama, Mistral, Qwen2 and Qwen3
/// (model_config). Every tensor that the config asks for must be there, in its shape; others are an error, but for those that are
/// known to be left over: rotary_emb.inv_freq, and an lm_head.weight beside a tied embedding.
/// Errors: not_found, invalid (an architecture or number format that is not known), corrupt (names the file, the tensor, what was found
/// and what was expected).
expected<model_weights> load_hf_model(const std::filesystem::path& folder,
                                      tensor_form form = tensor_form::float32);

/// The files of such a folder that hold its weights, in the order of their names. Errors: not_found, corrupt.
expected<std::vector<std::filesystem::path>> weight_files(const std::filesystem::path& folder);

/// Writes such a folder (config.json, weights in files of at most `largest_file` bytes of data each, index where there are
/// several), which transformers loads. A tensor larger than that has a file of its own. config.json is written last: a folder without it is unfinished. Errors: invalid (a
/// previous_token_map, which only Troupe knows; a config that its family's config.json cannot say), disk_full, io.
expected<void> save_hf_model(const std::filesystem::path& folder, const model_weights& weights,
                             weight_format format = weight_format::float32,
                             std::size_t largest_file = std::size_t{4} << 30);

/// Checks that `tensors` are what the config asks for. Errors: corrupt; `name` is the file's or the folder's.
expected<void> check_tensors(const model_weights& weights, const std::string& name);

} // namespace troupe

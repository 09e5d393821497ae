#pragma once

#include "gpu/files/hf_model.hpp"
#include "gpu/files/language_model.hpp"

namespace troupe {

/// What transformers reads of a model beside config.json, weights and tokenizer.json: tokenizer_config.json, generation_config.json and,
/// where the model has one, chat_template.jinja; by name, their bytes.
std::map<std::string, std::string> conversation_files(const language_model& model);

/// Writes a folder that transformers loads: config, weights, tokenizer and template. `originals`, if not empty, is the folder of
/// transformers that the model came from: its files about tokens and generation are copied as they are instead of made anew. The folder has
/// its name only once it is whole. Errors: invalid (it is there already; a model that only Troupe computes), disk_full, io.
expected<void> save_model_folder(const std::filesystem::path& folder, const language_model& model,
                                 weight_format format, const std::filesystem::path& originals = {});

} // namespace troupe

#pragma once

#include "actors/model_chat.hpp"
#include "actors/run_config.hpp"
#include "actors/trajectory.hpp"

namespace troupe {

/// What a run keeps, in its data folder, of the model that it began with (model.path): tokenizer.json, and in model.json the chat template and the
/// names of tokens. A run that resumes, and whoever reads it later, needs no weights for it. Errors: io, disk_full.
expected<void> keep_run_model(const language_model& model, const std::filesystem::path& data);
/// The same again, without weights. Errors: not_found, corrupt.
expected<language_model> kept_run_model(const std::filesystem::path& data);

/// The rules by which trajectories of such a run are read and written. Errors: those of model_chat.
expected<std::shared_ptr<const model_chat>> set_rules(trajectory_rules& rules, const language_model& model,
                                                      const tool_set& tools, const run_config& config);

/// The files that make a checkpoint's folder one that transformers loads, tokenizer and all: by name, their bytes.
expected<std::map<std::string, std::string>>
companions_of(const language_model& model, const std::filesystem::path& data, const run_config& config);

} // namespace troupe

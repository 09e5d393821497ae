#pragma once

#include "gpu/weights.hpp"
#include <filesystem>
#include <functional>
#include <map>
#include <optional>

namespace troupe {

/// safetensors (huggingface/safetensors): 8-byte length, JSON header, raw little-endian data. Reading checks
/// every length, offset, dtype (F32) and shape before it allocates. Errors: corrupt with what was found;
/// not_found; disk_full; io.
expected<void> write_safetensors(const std::filesystem::path& file,
                                 const std::map<std::string, host_tensor>& tensors,
                                 const std::map<std::string, std::string>& metadata = {});
expected<std::map<std::string, host_tensor>> read_safetensors(const std::filesystem::path& file);

/// One step's checkpoint: a folder step-N/{config.json, model.safetensors, optimizer.safetensors,
/// manifest.json}. The manifest names every file with its size and SHA-256 and carries what the step
/// consumed; it is written last, and the folder gets its final name only when all of it is synced. A folder
/// without a valid manifest does not exist.
struct checkpoint {
  std::uint64_t step = 0;
  std::uint64_t version = 0; ///< policy version of the weights
  model_weights weights;
  std::optional<model_weights> optimizer;
  std::map<std::string, host_tensor>
      adapters;       ///< low-rank ones, by PEFT's names without its prefix; written, never read
  json::object extra; ///< consumed trajectories, RNG positions, config hash: the caller's, kept verbatim
};

/// `companions`: further files of the folder by name, "adapter/adapter_config.json" too: tokenizer.json and others with which
/// transformers loads it. Adapters become adapter/adapter_model.safetensors, as PEFT has it.
expected<std::filesystem::path> save_checkpoint(const std::filesystem::path& folder, const checkpoint& what,
                                                const std::map<std::string, std::string>& companions = {});
/// The folders of all steps, the newest first. Errors: not_found, io.
expected<std::vector<std::filesystem::path>> list_checkpoints(const std::filesystem::path& folder);
/// Verifies every hash, and that it is of the step that its folder's name says. Errors: not_found, corrupt (which file, expected and found hash), version.
expected<checkpoint> load_checkpoint(const std::filesystem::path& step_folder);
/// The newest checkpoint of a run that verifies; a bad one is passed over and reported to `skipped`.
expected<checkpoint> load_latest_checkpoint(const std::filesystem::path& folder,
                                            const std::function<void(const error&)>& skipped = {});
/// Removes all but the newest `keep` checkpoints and unfinished remains.
expected<void> prune_checkpoints(const std::filesystem::path& folder, int keep);

} // namespace troupe

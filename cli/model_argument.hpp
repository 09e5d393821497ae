#pragma once

#include "gpu/files/language_model.hpp"

namespace troupe::cli {

/// What --model names: a folder of Hugging Face's transformers, a GGUF file, or a run's folder, which means its newest checkpoint with the
/// conversation that the run has: its own roles, or those of the model that it began with. Errors: not_found, and those of reading.
expected<language_model> load_model_argument(const std::filesystem::path& place);

/// The same, but a folder or file without a tokenizer is taken, too: `words` is null then.
expected<language_model> load_model_to_look_at(const std::filesystem::path& place);

/// Whether an engine takes these weights: in the model's shape, all of them numbers. Takes as long as an engine's start. Errors: invalid.
expected<void> check_weights(const model_weights& weights);

/// How many threads compute where nothing is said: one for each core that this process may use.
int default_threads();

} // namespace troupe::cli

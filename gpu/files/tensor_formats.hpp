#pragma once

#include "gpu/weights.hpp"
#include <filesystem>

namespace troupe {

/// How many tensors of a model's files are in one number format, and what they take there.
struct tensor_format {
  std::string name; ///< "F32", "BF16", "Q4_1", ...
  std::int64_t tensors = 0, weights = 0, bytes = 0;
};

/// The formats of a folder of Hugging Face's transformers or a GGUF file, as its tensors lie there, the one with most bytes first. Headers
/// alone are read. Errors: not_found, corrupt, invalid, version.
expected<std::vector<tensor_format>> tensor_formats_of(const std::filesystem::path& place);
/// Of weights in memory.
std::vector<tensor_format> tensor_formats_of(const model_weights& weights);

} // namespace troupe

#pragma once

#include "gpu/model_config.hpp"
#include "tests/system/process.hpp"

namespace troupe::tests {

/// A tiny model of Qwen's or Llama's shape with SmolLM2's conversation; `rows` of its embedding.
void write_model(const std::filesystem::path& folder, model_family family, int rows);
int words_of_tokenizer();
/// A run of minutes at most that begins with it. `more` goes on top.
std::vector<std::string> run_of(const std::filesystem::path& model, std::vector<std::string> more = {});

} // namespace troupe::tests

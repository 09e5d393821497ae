#pragma once

#include "gpu/model_config.hpp"
#include "tests/system/process.hpp"

namespace troupe::tests {

/// A tiny model of Qwen's or Llama's shape with SmolLM2's conversation; `rows` of its embedding.
void write_model(const std::filesystem::path& folder, model_family family, int rows);
int words_of_tokenizer();
/// A run of minutes at most that begins with it. `more` goes on top.
std::vector<std::string> run_of(const std::filesystem::path& model, std::vector<std::string> more = {});

/// The same of the folder "model", with eta 0: its weights depend on nothing but what was sampled. They are those of step `steps`.
std::vector<std::string> run_without_staleness(const std::string& name, int steps,
                                               std::vector<std::string> more);
std::string weights_of(const scratch& place, const std::string& run, int step);
/// Rollouts with a signal in all of a run's steps, of what it printed.
double trained(const std::string& output);
void expect_balanced(const scratch& place, const std::string& run);

} // namespace troupe::tests

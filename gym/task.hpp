#pragma once

#include "runtime/base/json.hpp"
#include <filesystem>
#include <string>
#include <vector>

namespace troupe {

enum class split : std::uint8_t { train, heldout };

/// One question with its accepted answers. As JSON: {"id", "question", "answer" or "answers", "split":
/// "train"|"heldout", "hops"?: int, ...}; unknown keys are kept in `extra`.
struct task {
  std::string id, question;
  std::vector<std::string> answers; ///< any of them is right; not empty
  split part = split::train;
  int hops = 0; ///< 0: unknown
  json::object extra;
};

/// Errors: invalid, naming file, line, key, what was found and expected; a duplicate id; no train or no
/// held-out task is not an error here (the caller knows what it needs).
expected<std::vector<task>> read_tasks(const std::filesystem::path& jsonl);
std::string to_jsonl(const std::vector<task>& tasks);
json::object to_json(const task& what);

} // namespace troupe

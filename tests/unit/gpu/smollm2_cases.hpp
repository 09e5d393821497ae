#pragma once

#include "gpu/tokenizer.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/json.hpp"

namespace troupe {

/// What tests/oracles/greedy_fixtures.py wrote of transformers: prompts, their logprobs, 48 greedy tokens.
struct smollm2_case {
  std::vector<token> prompt, greedy;
  std::vector<double> logprobs;
};

inline json::object smollm2_fixture() {
  const auto path = std::string(TROUPE_SOURCE_DIR) + "/tests/unit/gpu/data/smollm2_greedy.json";
  return json::parse(*read_file(path, 1 << 20))->as_object();
}

inline std::vector<smollm2_case> smollm2_cases() {
  std::vector<smollm2_case> out;
  const auto ids = [](const json::value& from) {
    std::vector<token> to;
    for (auto& one : from.as_array()) to.push_back(static_cast<token>(one.to_number<std::int64_t>()));
    return to;
  };
  const auto whole = smollm2_fixture();
  for (auto& one : whole.at("cases").as_array()) {
    auto& c = out.emplace_back();
    c.prompt = ids(one.as_object().at("prompt"));
    c.greedy = ids(one.as_object().at("greedy"));
    for (auto& p : one.as_object().at("prompt_logprobs").as_array())
      c.logprobs.push_back(p.to_number<double>());
  }
  return out;
}

} // namespace troupe

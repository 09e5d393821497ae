#include "tests/system/tiny_chat_model.hpp"

#include "gpu/files/hf_model.hpp"
#include "gpu/tokenizer.hpp"
#include "runtime/base/file.hpp"

#include <gtest/gtest.h>

namespace troupe::tests {

namespace fs = std::filesystem;

namespace {
const fs::path data = fs::path(TROUPE_SOURCE_DIR) / "tests/unit/gpu/data";
} // namespace

void write_model(const fs::path& folder, model_family family, int rows) {
  model_config c;
  c.family = family;
  c.vocab_size = rows, c.hidden_size = 32, c.num_hidden_layers = 2, c.num_attention_heads = 4;
  c.num_key_value_heads = 2, c.head_dim = 8, c.intermediate_size = 48, c.max_position_embeddings = 2048;
  c.qkv_bias = family == model_family::qwen2;
  ASSERT_TRUE(save_hf_model(folder, initial_weights(c, 5)));
  fs::copy_file(data / "tokenizers/smollm2.json", folder / "tokenizer.json");
  ASSERT_TRUE(write_file_atomically(folder / "chat_template.jinja",
                                    *read_file(data / "chat_templates/smollm2.jinja")));
  ASSERT_TRUE(write_file_atomically(folder / "tokenizer_config.json", R"({"eos_token": "<|im_end|>"})"));
}

int words_of_tokenizer() { return tokenizer::load(data / "tokenizers/smollm2.json")->vocab_size(); }

std::vector<std::string> run_of(const fs::path& model, std::vector<std::string> more) {
  std::vector<std::string> out{"train",
                               quickstart_config().string(),
                               "--progress",
                               "json",
                               "run.name=real",
                               "model.path=" + model.string(),
                               "model.context=1500",
                               "warmup.steps=60",
                               "warmup.batch_tokens=3000",
                               "warmup.learning_rate=0.02",
                               "warmup.cache=false",
                               "data.train_questions=40",
                               "data.heldout_questions=10",
                               "data.cities_per_country=1",
                               "rl.steps=3",
                               "rl.groups_per_step=2",
                               "rl.group_size=8",
                               "rl.negative_keep=1",
                               "rollout.max_turn_tokens=48",
                               "rollout.max_turns=2",
                               "eval.questions=3",
                               "eval.samples=1",
                               "eval.every=0",
                               "control.enabled=false"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::vector<std::string> run_without_staleness(const std::string& name, int steps,
                                               std::vector<std::string> more) {
  more.insert(more.begin(), {"run.name=" + name, "rl.eta=0", "rl.loss=grpo", "eval.before=false",
                             "rl.steps=" + std::to_string(steps)});
  return run_of("model", std::move(more));
}

std::string weights_of(const scratch& place, const std::string& run, int step) {
  const auto name = "checkpoints/step-" + std::to_string(step) + "/model.safetensors";
  return read_file(place.path() / "runs" / run / name).value_or("none of " + run);
}

double trained(const std::string& output) {
  double sum = 0;
  for (const auto& r : json_lines(output))
    if (r.at("kind") == "step") sum += number(r, "trained");
  return sum;
}

void expect_balanced(const scratch& place, const std::string& run) {
  const auto audit = printed_object({"audit", run, "--json"}, place.path(), 0, std::chrono::seconds(30));
  ASSERT_TRUE(audit.contains("balanced"));
  EXPECT_EQ(audit.at("balanced"), json::value(true)) << json::dump(audit);
}

} // namespace troupe::tests

// A run that begins with somebody's model: a folder of Hugging Face's transformers with its tokenizer and its chat template.
#include "gpu/checkpoint.hpp"
#include "gpu/files/hf_model.hpp"
#include "gpu/files/language_model.hpp"
#include "runtime/base/file.hpp"
#include "tests/system/process.hpp"
#include "tests/system/tiny_chat_model.hpp"

#include <csignal>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::run_of;
using tests::scratch;
using tests::words_of_tokenizer;
using tests::write_model;

namespace {

namespace fs = std::filesystem;

std::vector<json::object> steps(const std::string& output) {
  std::vector<json::object> out;
  for (const auto& r : tests::json_lines(output))
    if (r.at("kind") == "step") out.push_back(r);
  return out;
}

} // namespace

TEST(ARunOfAModelFromFiles, TrainsItInItsOwnChatFormatAndLeavesFoldersOfItsKind) {
  scratch place;
  const auto model = place.path() / "qwen";
  write_model(model, model_family::qwen2, words_of_tokenizer() + 7);
  auto run = process::troupe(run_of(model, {"rl.loss=grpo", "rl.deterministic=true"}), place.path());
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  const auto told = steps(run.out());
  ASSERT_EQ(told.size(), 3u);
  double trained = 0;
  for (const auto& s : told) {
    EXPECT_LE(s.at("max_logprob_gap").to_number<double>(), 5e-5);
    trained += s.at("trained").to_number<double>();
  }
  EXPECT_GT(trained, 0); // turns that end and turns that are cut off: there is something to learn from

  const auto folder = place.path() / "runs/real/checkpoints/step-3";
  const auto again = load_language_model(folder);
  ASSERT_TRUE(again) << to_string(again.error());
  EXPECT_TRUE(again->weights->config.qkv_bias);
  EXPECT_TRUE(again->conversation.has_value());
  const auto before = *load_hf_model(model);
  EXPECT_NE(again->weights->tensors.at("model.layers.0.self_attn.q_proj.bias").data,
            before.tensors.at("model.layers.0.self_attn.q_proj.bias").data);

  auto exported = process::troupe({"model", "convert", "runs/real", "exported"}, place.path());
  EXPECT_EQ(exported.wait(60s), 0) << exported.err();
  const auto copy = load_language_model(place.path() / "exported");
  ASSERT_TRUE(copy) << to_string(copy.error());
  EXPECT_EQ(weights_checksum(*copy->weights), weights_checksum(*again->weights));
  EXPECT_EQ(copy->template_source, again->template_source);
  EXPECT_EQ(copy->ends, again->ends);

  auto list = process::troupe({"inspect", "runs/real", "--json"}, place.path());
  ASSERT_EQ(list.wait(30s), 0) << list.err();
  const auto listed = json::parse(list.out())->get_object();
  const auto id = std::string(listed.at("rollouts").get_array()[0].get_object().at("rollout").get_string());
  auto one = process::troupe({"inspect", "runs/real", id}, place.path());
  EXPECT_EQ(one.wait(30s), 0) << one.err();
  auto audit = process::troupe({"audit", "runs/real"}, place.path());
  EXPECT_EQ(audit.wait(30s), 0) << audit.out() << audit.err();
}

TEST(ARunOfAModelFromFiles, TrainsAdaptersAndGoesOnWithThemAfterAKill) {
  scratch place;
  const auto model = place.path() / "llama";
  write_model(model, model_family::llama, words_of_tokenizer());
  const std::vector<std::string> keys{"learner.lora_rank=4", "rl.steps=4"};
  auto run = process::troupe(run_of(model, keys), place.path());
  ASSERT_TRUE(run.says("\"step\":2,\"steps\":4", 240s)) << run.err() << run.out().substr(0, 3000);
  run.signal(SIGKILL);
  run.wait(10s);
  auto resumed = keys;
  resumed.push_back("--resume");
  auto more = process::troupe(run_of(model, resumed), place.path());
  ASSERT_EQ(more.wait(240s), 0) << more.err();
  EXPECT_FALSE(steps(more.out()).empty());

  const auto folder = place.path() / "runs/real/checkpoints/step-4";
  EXPECT_TRUE(fs::exists(folder / "adapter/adapter_config.json"));
  const auto adapters = read_safetensors(folder / "adapter/adapter_model.safetensors");
  ASSERT_TRUE(adapters);
  EXPECT_TRUE(adapters->contains("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));
  const auto merged = load_hf_model(folder), start = load_hf_model(model);
  ASSERT_TRUE(merged && start);
  const auto same = [&](const char* name) {
    return merged->tensors.at(name).data == start->tensors.at(name).data;
  };
  EXPECT_TRUE(same("model.embed_tokens.weight")); // frozen
  EXPECT_FALSE(same("model.layers.0.self_attn.q_proj.weight"));
}

TEST(ARunOfAModelFromFiles, IsRefusedWithASentenceWhereThingsDoNotBelongTogether) {
  scratch place;
  write_model(place.path() / "small", model_family::llama, words_of_tokenizer() - 1);
  write_model(place.path() / "mute", model_family::llama, words_of_tokenizer());
  fs::remove(place.path() / "mute/chat_template.jinja");
  write_model(place.path() / "short", model_family::llama, words_of_tokenizer());
  const auto refused = [&](const std::string& model, std::vector<std::string> more,
                           const std::string& words) {
    auto run = process::troupe(run_of(place.path() / model, std::move(more)), place.path());
    EXPECT_NE(run.wait(60s), 0);
    EXPECT_NE((run.err() + run.out()).find(words), std::string::npos) << run.err() << run.out();
  };
  refused("small", {}, "they do not belong together");
  refused("mute", {}, "no chat template");
  refused("short", {"model.context=4096"}, "takes at most 2048 tokens");
  refused("nowhere", {}, "no model at");
}

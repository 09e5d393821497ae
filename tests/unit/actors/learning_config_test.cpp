#include "actors/run_config.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

std::string refusal(const std::vector<std::string>& overrides) {
  auto made = load_config_text<run_config>("", overrides);
  if (!made) return made.error().message;
  const auto fine = made->check();
  return fine ? "" : fine.error().message;
}

} // namespace

TEST(TheConfigurationOfALoss, ReachesTheLearner) {
  auto c = *load_config_text<run_config>("", {"rl.loss=dapo", "rl.clip_high=0.3", "rl.proximal=interpolate",
                                              "rl.correction=mask", "rl.correction_level=geometric",
                                              "rl.correction_high=1.5", "rollout.max_turns=3",
                                              "rollout.max_turn_tokens=50"});
  ASSERT_TRUE(c.check());
  const auto o = c.rl_shape(1e-3);
  EXPECT_EQ(o.loss, rl_loss::dapo);
  EXPECT_EQ(o.clip_high, 0.3);
  EXPECT_EQ(o.proximal, proximal_policy::interpolate);
  EXPECT_EQ(o.correction, mismatch_correction::mask);
  EXPECT_EQ(o.correction_by, correction_level::geometric);
  EXPECT_EQ(o.correction_high, 1.5);
  EXPECT_EQ(o.length_constant, 150);
  for (const auto& recipe : loss_recipes()) {
    const auto named = *load_config_text<run_config>("", {"rl.loss=" + std::string(recipe.name)});
    EXPECT_EQ(named.rl_shape(1).loss, recipe.kind);
    EXPECT_TRUE(named.check()) << recipe.name;
  }
}

TEST(TheConfigurationOfALoss, IsRefusedWhereItContradictsItself) {
  const std::vector<std::vector<std::string>> wrong{
      {"rl.loss=k2", "rl.clip_low=0.1"},
      {"rl.loss=k2", "rl.correction=mask"},
      {"rl.loss=reinforce", "rl.proximal=interpolate"},
      {"rl.loss=ppo", "rl.proximal=behaviour", "rl.correction=truncate"},
      {"rl.loss=decoupled_ppo", "rl.proximal=behaviour"},
      {"rl.loss=ppo", "rl.correction=mask", "rl.correction_low=1", "rl.correction_high=1"},
      {"rl.loss=ppo", "rl.group_size=1"},
      {"rl.kl_weight=0.1"},
      {"rl.overlong_tokens=10", "rl.overlong_cushion=20"},
      {"rl.overlong_tokens=10"},
      {"rl.deterministic=true", "rollout.temperature=0.7"},
      {"rl.deterministic=true", "learner.compute=bfloat16"},
      {"rl.deterministic=true", "engine.device=cuda"},
      {"engine.compute=bfloat16"},
      {"engine.device=auto", "engine.compute=bfloat16"},
      {"learner.lora_rank=4"},
      {"learner.lora_rank=4", "model.path=x", "learner.optimizer=muon"},
      {"model.system=hello"},
      {"rl.loss=ppo2"}};
  for (const auto& overrides : wrong) {
    const auto found = refusal(overrides);
    EXPECT_NE(found, "") << overrides[0];
    const auto last = overrides.back();
    EXPECT_TRUE(found.find(last.substr(0, last.find('='))) != found.npos ||
                found.find(overrides[0].substr(0, overrides[0].find('='))) != found.npos)
        << found;
  }
  EXPECT_EQ(refusal({"rl.loss=grpo", "rl.kl_weight=0.1", "model.path=x"}), "");
  EXPECT_EQ(refusal({"learner.lora_rank=4", "model.path=x"}), "");
  EXPECT_EQ(refusal({"rl.deterministic=true"}), "");
  EXPECT_EQ(refusal({"engine.device=cuda", "engine.compute=bfloat16"}), "");
}

} // namespace troupe

#include "gpu/torch_plugin.hpp"

#include "gpu/batching_engine.hpp"
#include "gpu/torch/torch_backend.hpp"
#include "small_model.hpp"

namespace troupe {

TEST(ThePlugin, MakesTheSameLearnerAsTheObjectsLinkedHere) {
  const auto start = random_weights(small_config(), 1);
  auto loaded = make_learner(start, {}); // found above the folder of this test program
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  const auto linked = small_learner(start);
  const auto batch = supervised_batch(1, 6, start.config);
  ASSERT_TRUE((*loaded)->sft_step(batch, 1e-3));
  ASSERT_TRUE(linked->sft_step(batch, 1e-3));
  expect_same_bits(*(*loaded)->snapshot(), *linked->snapshot());
}

TEST(ThePlugin, PassesOnWhyAModelCannotBeTrained) {
  auto weights = random_weights(small_config(), 1);
  weights.tensors.erase("model.norm.weight");
  const auto made = make_learner(weights, {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::invalid);
  EXPECT_NE(made.error().message.find("model.norm.weight"), std::string::npos);
}

TEST(ThePlugin, MakesTheSameForwardPassAsTheObjectsLinkedHere) {
  const auto plugin = open_torch_plugin();
  ASSERT_TRUE(plugin) << to_string(plugin.error());
  const auto weights = std::make_shared<const model_weights>(random_weights(small_config(), 1));
  error failure;
  const engine_limits limits;
  std::unique_ptr<model_backend> backends[] = {
      std::unique_ptr<model_backend>(plugin->make_backend(&weights->config, &limits, "plain", &failure)),
      std::move(*torch_detail::make_torch_backend(weights->config, {}, {.device = "plain"}))};
  std::vector<generated> got;
  for (auto& backend : backends) {
    ASSERT_TRUE(backend) << to_string(failure);
    batching_engine engine(weights->config, {}, std::move(backend), kernels_for(best_instruction_set()));
    engine.set_weights(weights, 1, kv_policy::keep);
    ASSERT_TRUE(engine.submit({.sequence = 1, .context = {1, 2, 3}, .max_new_tokens = 20, .seed = 5}));
    while (engine.step(got, nullptr)) {
    }
  }
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].tokens.size(), 20u);
  EXPECT_EQ(got[0].tokens, got[1].tokens);
  EXPECT_EQ(got[0].logprobs, got[1].logprobs);
}

TEST(ThePlugin, PassesOnWhyThereIsNoForwardPass) {
  const auto plugin = open_torch_plugin();
  ASSERT_TRUE(plugin) << to_string(plugin.error());
  error failure;
  const auto config = small_config();
  const engine_limits limits;
  EXPECT_EQ(plugin->make_backend(&config, &limits, "abacus", &failure), nullptr);
  EXPECT_EQ(failure.code, errc::invalid);
  EXPECT_NE(failure.message.find("abacus"), std::string::npos) << failure.message;
}

} // namespace troupe

#include "gpu/learner.hpp"

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

} // namespace troupe

#include "gpu/weights.hpp"
#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

namespace troupe {
namespace {

model_config recipe() { return {.previous_token_map = true}; }

/// y = W x for a square weight of shape [out, in].
std::vector<double> times(const host_tensor& w, const std::vector<double>& x) {
  const auto n = x.size();
  std::vector<double> y(w.data.size() / n);
  for (std::size_t o = 0; o < y.size(); ++o)
    for (std::size_t i = 0; i < n; ++i) y[o] += double{w.data[o * n + i]} * x[i];
  return y;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

std::vector<double> embedding(const model_weights& w, int token) {
  const auto& e = w.tensors.at("model.embed_tokens.weight");
  const auto d = static_cast<std::size_t>(e.shape[1]);
  return {e.data.begin() + static_cast<std::ptrdiff_t>(token * d),
          e.data.begin() + static_cast<std::ptrdiff_t>((token + 1) * d)};
}

std::vector<double> input(const model_weights& w, int token, int previous) {
  auto x = embedding(w, token);
  const auto p = times(w.tensors.at("model.previous_token_map.weight"), embedding(w, previous));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += p[i];
  return x;
}

TEST(InitialWeights, HaveExactlyTheExpectedShapes) {
  for (auto config : {recipe(), model_config{.num_key_value_heads = 2, .tie_word_embeddings = false}}) {
    const auto w = initial_weights(config, 1);
    const auto shapes = expected_shapes(config);
    ASSERT_EQ(w.tensors.size(), shapes.size());
    for (auto& [name, tensor] : w.tensors) {
      EXPECT_EQ(tensor.shape, shapes.at(name)) << name;
      EXPECT_EQ(
          static_cast<std::int64_t>(tensor.data.size()),
          std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1}, std::multiplies<>()));
    }
  }
}

TEST(InitialWeights, OfTheRecipeAreUnderAMillion) {
  std::size_t count = 0;
  for (auto& [name, tensor] : initial_weights(recipe(), 1).tensors) count += tensor.data.size();
  EXPECT_EQ(count, 935'040u + 128 * 128); // facts: 0.935 M parameters + 16 k of the previous-token map
}

TEST(InitialWeights, DependOnTheSeedAlone) {
  const auto a = initial_weights(recipe(), 5), b = initial_weights(recipe(), 5),
             c = initial_weights(recipe(), 6);
  for (auto& [name, tensor] : a.tensors) EXPECT_EQ(tensor.data, b.tensors.at(name).data);
  EXPECT_NE(a.tensors.at("model.embed_tokens.weight").data, c.tensors.at("model.embed_tokens.weight").data);
}

TEST(ThePreviousTokenMap, StartsOrthogonal) {
  const auto w = initial_weights(recipe(), 2);
  const auto& p = w.tensors.at("model.previous_token_map.weight");
  for (int i = 0; i < 128; ++i)
    for (int j = 0; j < 128; ++j) {
      double sum = 0;
      for (int k = 0; k < 128; ++k) sum += double{p.data[i * 128 + k]} * p.data[j * 128 + k];
      EXPECT_NEAR(sum, i == j, 1e-6);
    }
}

TEST(InductionLayers, LookForThePositionAfterAnEarlierOccurrence) {
  const auto w = initial_weights(recipe(), 3);
  for (int layer = 1; layer < 4; ++layer) {
    const auto name = "model.layers." + std::to_string(layer) + ".self_attn.";
    const auto query = times(w.tensors.at(name + "q_proj.weight"), input(w, 10, 11)); // now at token 10
    const auto after_10 = times(w.tensors.at(name + "k_proj.weight"), input(w, 20, 10));
    const auto at_10 = times(w.tensors.at(name + "k_proj.weight"), input(w, 10, 30));
    const auto elsewhere = times(w.tensors.at(name + "k_proj.weight"), input(w, 40, 41));
    EXPECT_GT(dot(query, after_10), 2 * std::abs(dot(query, at_10)));
    EXPECT_GT(dot(query, after_10), 2 * std::abs(dot(query, elsewhere)));
    // and what it brings from there is the token that followed
    const auto brought = times(w.tensors.at(name + "o_proj.weight"),
                               times(w.tensors.at(name + "v_proj.weight"), input(w, 20, 10)));
    EXPECT_GT(dot(brought, embedding(w, 20)), 3 * std::abs(dot(brought, embedding(w, 21))));
  }
}

TEST(ModelConfig, SurvivesAJsonRoundTrip) {
  model_config c{.vocab_size = 500,
                 .hidden_size = 64,
                 .num_key_value_heads = 2,
                 .head_dim = 16,
                 .previous_token_map = true};
  c.rope_theta = 123456.789;
  const auto again = model_config_from_json(to_json(c));
  ASSERT_TRUE(again) << to_string(again.error());
  EXPECT_EQ(*again, c);
}

TEST(ModelConfig, TakesHuggingFacesDefaultsAndNewerSpellings) {
  auto json = to_json(model_config{});
  for (auto key : {"num_key_value_heads", "head_dim", "rope_theta", "previous_token_map"}) json.erase(key);
  json["rope_parameters"] = json::object{{"rope_theta", 5e5}, {"rope_type", "default"}};
  const auto c = model_config_from_json(json);
  ASSERT_TRUE(c) << to_string(c.error());
  EXPECT_EQ(c->head_dim, 32);
  EXPECT_EQ(c->num_key_value_heads, 4);
  EXPECT_EQ(c->rope_theta, 5e5);
}

TEST(TheChecksumOfWeights, IsAnotherForEveryBitNameAndShape) {
  const model_weights two{.config = {},
                          .tensors = {{"a", {{2, 3}, std::vector<float>(6, 1.0f)}}, {"b", {{1}, {0.0f}}}}};
  const auto original = weights_checksum(two);
  EXPECT_EQ(original.size(), 64u);
  EXPECT_EQ(original, weights_checksum(model_weights(two)));
  std::set<std::string> seen{original};
  for (int bit = 0; bit < 32; ++bit) {
    auto flipped = two;
    auto& x = flipped.tensors.at("a").data[5];
    x = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ (1u << bit));
    EXPECT_TRUE(seen.insert(weights_checksum(flipped)).second) << bit;
  }
  auto changed = two;
  changed.tensors.at("b").data[0] = -0.0f; // equal as a number, not as weights
  EXPECT_TRUE(seen.insert(weights_checksum(changed)).second);
  changed = two;
  changed.tensors.at("a").shape = {3, 2};
  EXPECT_TRUE(seen.insert(weights_checksum(changed)).second);
  changed = two;
  auto moved = changed.tensors.extract("b");
  moved.key() = "c";
  changed.tensors.insert(std::move(moved));
  EXPECT_TRUE(seen.insert(weights_checksum(changed)).second);
}

TEST(ModelConfig, NamesTheKeyThatIsWrong) {
  const std::pair<std::string, json::value> cases[] = {
      {"vocab_size", 0},
      {"vocab_size", "many"},
      {"num_key_value_heads", 3},
      {"head_dim", 31},
      {"rms_norm_eps", 0},
      {"rope_theta", -1.0},
      {"hidden_act", "gelu"},
      {"mlp_bias", true},
      {"model_type", "gpt_neox"},
      {"quantization_config", json::object{}},
      {"partial_rotary_factor", 0.5},
      {"hidden_size", nullptr},
      {"tie_word_embeddings", 1},
      {"vocab_size", 1e300},
      {"num_hidden_layers", std::int64_t{1} << 40},
      {"rope_scaling", json::object{{"factor", 8}}},
  };
  for (auto& [key, value] : cases) {
    auto json = to_json(model_config{});
    json[key] = value;
    const auto c = model_config_from_json(json);
    ASSERT_FALSE(c) << key;
    EXPECT_EQ(c.error().code, errc::invalid);
    EXPECT_NE(c.error().message.find(key), std::string::npos) << c.error().message;
  }
}

} // namespace
} // namespace troupe

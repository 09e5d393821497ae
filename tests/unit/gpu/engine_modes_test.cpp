#include "engine_support.hpp"
#include "gpu/files/half.hpp"
#include "reference_model.hpp"
#include <cmath>
#include <cstring>

/// Quantised weights and the two ways to compute with them.
namespace troupe {
namespace {

model_config blocky() { // rows are whole blocks of 32
  return {.vocab_size = 100,
          .hidden_size = 64,
          .num_hidden_layers = 3,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 16,
          .intermediate_size = 96,
          .max_position_embeddings = 160};
}

/// Blocks whose weights are about the size of those of `lively`.
std::string random_blocks(ggml_type type, std::size_t weights, random_stream& random) {
  const auto layout = *ggml_layout_of(static_cast<std::uint32_t>(type));
  std::string out(weights / layout.weights * layout.bytes, '\0');
  for (char& c : out) c = static_cast<char>(random.below(256));
  const bool eight = type == ggml_type::q8_0, minimum = type == ggml_type::q4_1 || type == ggml_type::q5_1;
  const double steps = eight ? 128 : type == ggml_type::q4_0 || type == ggml_type::q4_1 ? 8 : 16;
  for (std::size_t at = 0; at < out.size(); at += layout.bytes) {
    const double scale = (0.5 + random.uniform()) * 0.2 / steps;
    const auto d = to_float16(static_cast<float>(scale)), m = to_float16(static_cast<float>(-steps * scale));
    std::memcpy(out.data() + at, &d, 2);
    if (minimum) std::memcpy(out.data() + at + 2, &m, 2);
  }
  return out;
}

weights_ptr stored_model(const model_config& config, const std::vector<ggml_type>& types,
                         std::uint64_t seed) {
  auto w = initial_weights(config, seed);
  random_stream random(seed);
  std::size_t next = 0;
  for (auto& [name, shape] : expected_shapes(config)) {
    if (shape.size() != 2) continue;
    const auto type = types[next++ % types.size()];
    const auto bytes = std::make_shared<const std::string>(
        random_blocks(type, static_cast<std::size_t>(shape[0] * shape[1]), random));
    w.stored.emplace(name, stored_tensor{shape, type, *bytes, bytes});
    w.tensors.erase(name);
  }
  return std::make_shared<const model_weights>(std::move(w));
}

const std::vector<std::vector<ggml_type>> mixtures = {{ggml_type::q4_0},
                                                      {ggml_type::q4_1},
                                                      {ggml_type::q8_0},
                                                      {ggml_type::q5_0, ggml_type::q5_1, ggml_type::q4_1}};

std::map<std::uint64_t, generated> answers(const weights_ptr& weights, const engine_limits& limits,
                                           instruction_set set = best_instruction_set()) {
  const auto engine = engine_with(weights, limits, set);
  random_stream random(5);
  for (std::uint64_t id = 1; id <= 9; ++id)
    EXPECT_TRUE(engine->submit(ask(id, random_tokens(random, 1 + 9 * id), 12)));
  return run_all(*engine);
}

TEST(QuantisedWeights, GiveTheBitsOfTheirFloat32ValuesInExactMode) { // QKER-1
  for (auto& types : mixtures) {
    const auto stored = stored_model(blocky(), types, 3);
    const auto opened = std::make_shared<const model_weights>(as_float32(*stored));
    ASSERT_TRUE(opened->stored.empty());
    EXPECT_EQ(weights_checksum(*stored), weights_checksum(*opened));
    const auto wanted = answers(opened, {});
    for (auto set : {instruction_set::portable, instruction_set::avx2, instruction_set::avx512})
      if (has(set))
        for (auto& [id, got] : answers(stored, {}, set)) expect_same(got, wanted.at(id));
  }
}

TEST(FastMode, GivesTheSameBitsOnEveryInstructionSetAndForEverySplitOfTheWork) { // ENG-1, QKER-2
  auto models = mixtures;
  models.push_back({ggml_type::bf16}); // rounded to 8 bits
  for (auto& types : models) {
    const auto weights = types[0] == ggml_type::bf16 ? lively(tiny(), 3) : stored_model(blocky(), types, 3);
    engine_limits limits{.mode = arithmetic::fast};
    const auto wanted = answers(weights, limits);
    for (auto set : {instruction_set::portable, instruction_set::avx2, instruction_set::avx512}) {
      if (!has(set)) continue;
      for (auto [places, chunk, threads, split] : {std::tuple{64, 256, 1, work_split::automatic},
                                                   {1, 7, 1, work_split::automatic},
                                                   {64, 33, 3, work_split::outputs},
                                                   {5, 100, 2, work_split::sequences}}) {
        limits.max_sequences = places, limits.prefill_chunk = chunk, limits.threads = threads;
        limits.split = split;
        for (auto& [id, got] : answers(weights, limits, set)) expect_same(got, wanted.at(id));
      }
    }
  }
}

TEST(ExactMode, GivesTheSameBitsForEverySplitOfTheWork) { // ENG-1
  for (auto& config : families()) {
    const auto weights = lively(config, 4);
    const auto wanted = answers(weights, {});
    for (auto threads : {2, 3})
      for (auto& [id, got] : answers(weights, {.threads = threads, .split = work_split::outputs}))
        expect_same(got, wanted.at(id));
  }
}

/// Inputs are rounded to 16 bits: logprobs of a random model move by 1e-4, those of exact mode by 1e-5.
TEST(FastMode, IsCloseToTheExactOne) {
  for (auto& types : mixtures) {
    const auto stored = stored_model(blocky(), types, 9);
    const auto opened = as_float32(*stored);
    const reference_model reference(opened);
    random_stream random(2);
    auto request = ask(1, random_tokens(random, 60), 1);
    request.prompt_logprobs = 0;
    const auto wanted = reference.logprobs(request.context);
    for (auto [mode, bound] : {std::pair{arithmetic::exact, 1e-5}, {arithmetic::fast, 5e-4}}) {
      const auto engine = engine_with(stored, {.mode = mode});
      ASSERT_TRUE(engine->submit(request));
      const auto got = run_all(*engine).at(1);
      double squares = 0;
      for (std::size_t i = 1; i < 60; ++i)
        squares +=
            std::pow(got.prompt_logprobs[i] - wanted[i - 1][static_cast<std::size_t>(request.context[i])], 2);
      EXPECT_LT(std::sqrt(squares / 59), bound);
      EXPECT_EQ(std::sqrt(squares / 59) > 1e-5, mode == arithmetic::fast); // it is the other arithmetic
    }
  }
}

TEST(Weights, ThatAreNoNumbersAreRefusedByName) {
  auto bad = *lively(tiny(), 1);
  const auto message = [&](const char* name, arithmetic mode) {
    auto engine = std::move(*make_cpu_engine(tiny(), {.mode = mode}));
    auto copy = bad;
    copy.tensors.at(name).data[17] = std::nanf("");
    try {
      engine->set_weights(std::make_shared<const model_weights>(std::move(copy)), 1, kv_policy::keep);
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (auto mode : {arithmetic::exact, arithmetic::fast})
    for (auto name : {"model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"})
      EXPECT_EQ(message(name, mode),
                std::string("weights: ") + name + " holds values that are no finite numbers");
  auto stored = *stored_model(blocky(), {ggml_type::q4_1}, 1);
  auto& one = stored.stored.at("model.layers.0.self_attn.k_proj.weight");
  auto bytes = std::string(one.data);
  bytes[3 * 20 + 3] = 0x7C; // the minimum of the fourth block is infinite
  one.data = bytes;
  auto engine = std::move(*make_cpu_engine(blocky(), {}));
  EXPECT_THROW(engine->set_weights(std::make_shared<const model_weights>(stored), 1, kv_policy::keep),
               std::invalid_argument);
}

TEST(ARequest, WhoseLogitsOverflowFails) {
  auto weights = *lively(tiny(), 2);
  for (float& x : weights.tensors.at("model.norm.weight").data) x = 3e38f; // finite, but its products are not
  for (auto mode : {arithmetic::exact, arithmetic::fast}) {
    const auto engine = engine_with(std::make_shared<const model_weights>(weights), {.mode = mode});
    auto request = ask(1, {1, 7}, 4);
    request.stream = true;
    ASSERT_TRUE(engine->submit(request));
    std::vector<generated> finished;
    std::vector<token_news> news;
    while (engine->step(finished, &news)) {
    }
    ASSERT_EQ(finished.size(), 1u);
    EXPECT_EQ(finished[0].reason, finish_reason::failed);
    EXPECT_TRUE(finished[0].tokens.empty());
    EXPECT_TRUE(news.empty());
  }
}

TEST(AnEngine, ThatCouldOutgrowTheMemoryIsRefusedWithAnEstimate) {
  const model_config large{.vocab_size = 1000,
                           .hidden_size = 4096,
                           .num_hidden_layers = 80,
                           .num_attention_heads = 32,
                           .num_key_value_heads = 32,
                           .head_dim = 128,
                           .intermediate_size = 1000};
  const auto answer = make_cpu_engine(large, {.max_kv_tokens = 1'000'000'000});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, errc::exhausted);
  EXPECT_NE(answer.error().message.find("tokens takes up to 2500000000 MiB, this machine has"),
            std::string::npos)
      << answer.error().message;
  const auto fits = kv_tokens_that_fit(large);
  EXPECT_GT(fits, 0);
  EXPECT_TRUE(make_cpu_engine(large, {.max_kv_tokens = fits}));
  EXPECT_EQ(kv_bytes(large, 1600), 1600LL * 80 * 32 * 2 * 128 * 4);
}

} // namespace
} // namespace troupe

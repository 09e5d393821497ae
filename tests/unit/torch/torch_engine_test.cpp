#include "gpu/torch/torch_backend.hpp"

#include "gpu/files/hf_model.hpp"
#include "gpu/torch/device_weights.hpp"
#include "gpu/torch/find_device.hpp"
#include "torch_engine_support.hpp"
#include <algorithm>

/// The scheduler over LibTorch's operators against the CPU engine's exact mode: the same tokens, logprobs within rounding.
namespace troupe {

TEST(TheEngineOnLibTorch, GeneratesWhatTheCpuEngineDoesForEveryFamily) { // BACK-1, BACK-2
  auto configs = families();
  configs.push_back(tiny());
  configs.push_back({.vocab_size = 300, .max_position_embeddings = 200, .tie_word_embeddings = false});
  for (const auto& config : configs)
    for (int chunk : {256, 5, 1}) expect_same_as_the_cpus(lively(config, 11), {.prefill_chunk = chunk});
}

TEST(TheEngineOnLibTorch, GeneratesWhatTheCpuEngineDoesForModelsThatTransformersWrote) {
  int seen = 0;
  for (const auto& folder :
       std::filesystem::directory_iterator(TROUPE_SOURCE_DIR "/tests/unit/gpu/data/models")) {
    const auto weights = load_hf_model(folder.path());
    ASSERT_TRUE(weights) << to_string(weights.error());
    expect_same_as_the_cpus(std::make_shared<const model_weights>(*weights), {});
    ++seen;
  }
  EXPECT_EQ(seen, 7);
}

TEST(TheEngineOnLibTorch, GeneratesTheSameInPassesOfAnySize) { // PASS-1
  for (const auto& config : {families()[3], tiny()}) {
    const auto weights = lively(config, 12);
    auto requests = requests_for(config);
    for (auto& request : requests) request.prompt_logprobs = 0;
    const auto wanted = alone(weights, requests);
    for (const torch_detail::pass_limits passes :
         {torch_detail::pass_limits{1, 1, 1}, {3, 2, 8}, {16, 5, 40}}) {
      const auto engine =
          torch_engine(weights, {.threads = 2}, {.device = "plain", .record = {}, .passes = passes});
      const auto got = answers(*engine, requests);
      for (std::size_t i = 0; i < requests.size(); ++i) expect_close(got.at(requests[i].sequence), wanted[i]);
    }
  }
}

TEST(TheEngineOnLibTorch, SharesBeginningsAndPreemptsAsTheCpusDoes) { // ENG-5, KV-2
  const auto weights = lively(tiny(), 41);
  const auto requests = requests_for(weights->config, 60);
  const auto wanted = alone(weights, requests);
  for (int tokens : {160, 320}) {
    const engine_limits limits{.max_kv_tokens = tokens, .prefill_chunk = 30};
    const auto engine = torch_engine(weights, limits), other = engine_with(weights, limits);
    const auto got = answers(*engine, requests);
    answers(*other, requests);
    for (std::size_t i = 0; i < requests.size(); ++i) expect_close(got.at(requests[i].sequence), wanted[i]);
    const auto stats = engine->stats(), theirs = other->stats();
    EXPECT_GT(stats.reused_tokens, 0u);
    EXPECT_EQ(stats.reused_tokens, theirs.reused_tokens);
    EXPECT_EQ(stats.preemptions, theirs.preemptions);
    EXPECT_EQ(stats.steps, theirs.steps);
    if (tokens == 160) {
      EXPECT_GT(stats.preemptions, 0u);
    }
  }
}

TEST(TheEngineOnLibTorch, TakesNewWeightsBetweenTwoSteps) { // ENG-2
  const auto before = lively(tiny(), 3), after = lively(tiny(), 4);
  for (const auto policy : {kv_policy::keep, kv_policy::recompute, kv_policy::abort}) {
    int recordings = 0;
    const auto engine = torch_engine(before, {}, repeating(recordings)), other = engine_with(before);
    const auto requests = requests_for(before->config);
    std::map<std::uint64_t, generated> got[2];
    for (int which = 0; auto* one : {engine.get(), other.get()}) {
      for (auto& request : requests) ASSERT_TRUE(one->submit(request));
      std::vector<generated> finished;
      for (int i = 0; i < 12; ++i) one->step(finished);
      one->set_weights(after, 2, policy);
      for (int i = 0; i < 9; ++i) one->step(finished);
      one->set_weights(before, 3, policy);
      while (one->step(finished)) {
      }
      for (auto& g : finished) got[which][g.sequence] = std::move(g);
      ++which;
    }
    ASSERT_EQ(got[0].size(), requests.size());
    std::size_t changed = 0;
    for (auto& [id, wanted] : got[1]) {
      expect_close(got[0].at(id), wanted);
      changed += !wanted.versions.empty() && wanted.versions.front() != wanted.versions.back();
    }
    EXPECT_EQ(changed > 0, policy != kv_policy::abort);
  }
}

TEST(TheEngineOnLibTorch,
     DoesWhatTheCpusDoesThroughCancelsForgottenSequencesAndPriorities) { // ENG-2 to ENG-5
  for (std::uint64_t seed : {1, 2, 3}) {
    const auto weights = lively(tiny(), seed), others = lively(tiny(), seed + 10);
    const engine_limits limits{.max_sequences = 5, .max_kv_tokens = 400, .prefill_chunk = 24};
    int recordings = 0;
    const auto engine = torch_engine(weights, limits, repeating(recordings)),
               other = engine_with(weights, limits);
    random_stream random(seed);
    std::vector<generated> got, wanted;
    std::vector<token> beginning = random_tokens(random, 70);
    for (std::uint64_t i = 1; i <= 400; ++i) {
      const auto id = 1 + random.below(30);
      if (random.chance(0.2)) {
        beginning.resize(20 + random.below(40));
        auto context = beginning;
        const auto more = random_tokens(random, 1 + random.below(40));
        context.insert(context.end(), more.begin(), more.end());
        auto request = ask(id, context, static_cast<int>(1 + random.below(30)));
        request.group = random.below(3), request.priority = static_cast<int>(random.below(3));
        request.sampling.temperature = random.chance(0.5) ? 0 : 0.8;
        request.prompt_logprobs = random.chance(0.2) ? 0 : -1;
        EXPECT_EQ(engine->submit(request).has_value(), other->submit(request).has_value());
        beginning = context;
      }
      if (random.chance(0.03)) {
        EXPECT_EQ(engine->cancel(id), other->cancel(id));
      }
      if (random.chance(0.05)) engine->forget(id), other->forget(id);
      if (random.chance(0.02)) {
        const auto policy = random.chance(0.5) ? kv_policy::keep : kv_policy::recompute;
        for (auto* one : {engine.get(), other.get()})
          one->set_weights(i % 2 == 0 ? weights : others, i, policy);
      }
      engine->step(got), other->step(wanted);
    }
    for (auto* one : {&got, &wanted})
      while ((one == &got ? engine : other)->step(*one)) {
      }
    ASSERT_EQ(got.size(), wanted.size());
    ASSERT_GT(got.size(), 30u);
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].sequence, wanted[i].sequence);
      expect_close(got[i], wanted[i]);
    }
    const auto stats = engine->stats(), theirs = other->stats();
    EXPECT_EQ(stats.steps, theirs.steps);
    EXPECT_EQ(stats.preemptions, theirs.preemptions);
    EXPECT_EQ(stats.evicted_tokens, theirs.evicted_tokens);
    EXPECT_EQ(stats.reused_tokens, theirs.reused_tokens);
    EXPECT_GT(stats.preemptions, 0u);
  }
}

TEST(TheWeightsOnADevice, AreThoseOfTheHostWhateverTheirSize) {
  model_config config{.vocab_size = 70'000, .hidden_size = 64, .num_hidden_layers = 1}; // more than one piece
  config.qkv_bias = config.qk_norm = true;
  const auto weights = initial_weights(config, 3);
  const auto layout = torch_detail::make_layout(config);
  const at::Device device(at::kCPU);
  auto through = torch_detail::make_upload_buffers(device, at::kFloat);
  torch_detail::device_weights made(config, layout, at::kFloat, device);
  made.fill(weights, layout, through);
  const auto& p = made.parameters();
  const auto expect = [&](const at::Tensor& got, std::vector<const char*> names) {
    const float* at = got.data_ptr<float>();
    for (const auto* name : names) {
      const auto& wanted = weights.tensors.at(name).data;
      EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), at)) << name;
      at += wanted.size();
    }
    EXPECT_EQ(at, got.data_ptr<float>() + got.numel());
  };
  expect(p.embedding, {"model.embed_tokens.weight"});
  expect(p.layers[0].qkv, {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
                           "model.layers.0.self_attn.v_proj.weight"});
  expect(p.layers[0].qkv_bias,
         {"model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.k_proj.bias",
          "model.layers.0.self_attn.v_proj.bias"});
  expect(p.layers[0].gate_up, {"model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"});
  expect(p.layers[0].down, {"model.layers.0.mlp.down_proj.weight"});
  expect(p.final_norm, {"model.norm.weight"});
}

TEST(TheEngineOnLibTorch, KeepsItsWeightsWhenNewOnesAreNoNumbers) {
  const auto good = lively(tiny(), 3);
  auto broken = *good;
  broken.tensors.at("model.layers.2.mlp.down_proj.weight").data.back() = NAN;
  const auto engine = torch_engine(good);
  EXPECT_THROW(engine->set_weights(std::make_shared<const model_weights>(broken), 2, kv_policy::keep),
               std::invalid_argument);
  const auto request = ask(1, {1, 2, 3}, 20);
  expect_close(answers(*engine, {request}).at(1), alone(good, {request}).front());
}

TEST(TheEngineOnLibTorch, RepeatsRecordedDecodingWithTheSameTokens) { // GRA-1
  for (auto config : {families()[3], families()[5], tiny()}) {
    const auto weights = lively(config, 6);
    const auto requests = requests_for(config);
    const auto wanted = alone(weights, requests);
    int recordings = 0;
    const auto engine =
        torch_engine(weights, {.max_sequences = 4, .prefill_chunk = 16}, repeating(recordings));
    const auto got = answers(*engine, requests);
    for (std::size_t i = 0; i < requests.size(); ++i) expect_close(got.at(requests[i].sequence), wanted[i]);
    EXPECT_GT(recordings, 2);
    EXPECT_LT(recordings, 20); // a few shapes, whatever the sequences' lengths
  }
}

TEST(TheEngineOnLibTorch, FailsARequestWhoseNumbersOverflowAndNoOtherThatComesIntoItsBlocks) { // PAG-2
  auto huge = *lively(tiny(), 3);
  for (float& x : huge.tensors.at("model.layers.0.self_attn.v_proj.weight").data) x *= 1e38f;
  const auto good = lively(tiny(), 3);
  const auto engine = torch_engine(std::make_shared<const model_weights>(huge), {.max_kv_tokens = 160});
  EXPECT_EQ(answers(*engine, {ask(1, {1, 2, 3, 4, 5}, 5)}).at(1).reason, finish_reason::failed);
  engine->set_weights(good, 2, kv_policy::recompute);
  auto request = ask(2, {5, 4, 3}, 100);
  auto got = answers(*engine, {request}).at(2), wanted = alone(good, {request}).front();
  wanted.versions.assign(wanted.versions.size(), 2);
  expect_close(got, wanted);
}

TEST(TheEngineOnLibTorch, MultipliesInBfloat16WhereAsked) {
  const auto weights = lively(families()[0], 6);
  const auto requests = requests_for(weights->config, 20);
  const auto wanted = alone(weights, requests);
  const auto engine = torch_engine(weights, {.mode = arithmetic::fast});
  const auto got = answers(*engine, requests);
  double gap = 0, most = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) // prompts' logprobs: the same tokens for both
    for (std::size_t t = 1; t < wanted[i].prompt_logprobs.size(); ++t) {
      const double difference =
          std::abs(got.at(requests[i].sequence).prompt_logprobs[t] - wanted[i].prompt_logprobs[t]);
      gap = std::max(gap, difference), most = std::max(most, -double{wanted[i].prompt_logprobs[t]});
    }
  EXPECT_GT(gap, torch_bound); // it is another arithmetic
  EXPECT_LT(gap, 0.5);         // of the same model
  EXPECT_GT(most, 5);
}

TEST(TheEngineOnLibTorch, SaysWhatWasFoundWhereCudaIsAskedForAndThereIsNone) {
  if (torch_detail::find_device("cuda")) GTEST_SKIP() << "there is a CUDA device";
  const auto made = torch_detail::make_torch_backend(tiny(), {}, {.device = "cuda"});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::invalid);
  EXPECT_NE(made.error().message.find("found none: "), std::string::npos) << made.error().message;
  EXPECT_EQ(torch_detail::make_torch_backend(tiny(), {}, {.device = "gpu"}).error().code, errc::invalid);
}

TEST(TheEngineOnLibTorch, RefusesACacheThatTheDeviceCannotHold) {
  const auto made = torch_detail::make_torch_backend(
      {.hidden_size = 4096, .num_hidden_layers = 64, .num_key_value_heads = 4, .head_dim = 128},
      {.max_kv_tokens = 100'000'000}, {.device = "plain"});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::exhausted);
}

} // namespace troupe

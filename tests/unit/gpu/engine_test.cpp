#include "engine_support.hpp"
#include "reference_model.hpp"
#include <algorithm>

namespace troupe {
namespace {

TEST(TheEngine, AgreesWithAPlainDoublePrecisionModel) {
  auto configs = families();
  configs.push_back(tiny());
  configs.push_back({.vocab_size = 300, .max_position_embeddings = 200, .tie_word_embeddings = false});
  for (auto config : configs) {
    const auto weights = lively(config, 11);
    const reference_model reference(*weights);
    const auto engine = engine_with(weights);
    random_stream random(5);
    for (int i = 0; i < 4; ++i) {
      auto request = ask(static_cast<std::uint64_t>(i) + 1, random_tokens(random, 3 + 20 * i), 40);
      request.sampling.temperature = i == 3 ? 0.7 : 1.0;
      ASSERT_TRUE(engine->submit(request));
      const auto got = run_all(*engine).at(request.sequence);
      auto all = request.context;
      all.insert(all.end(), got.tokens.begin(), got.tokens.end());
      const auto wanted = reference.logprobs(all, request.sampling.temperature);
      for (std::size_t t = 0; t < got.tokens.size(); ++t)
        EXPECT_NEAR(got.logprobs[t], wanted[request.context.size() + t - 1][got.tokens[t]], 1e-5);
    }
  }
}

std::vector<generate_request> mixed_requests() {
  random_stream random(77);
  std::vector<generate_request> out;
  const auto prompt = random_tokens(random, 37);
  for (std::uint64_t i = 1; i <= 14; ++i) {
    auto request =
        ask(i, random_tokens(random, 1 + random.below(70)), static_cast<int>(1 + random.below(60)));
    if (i % 3 == 0) { // some of them a group
      request.group = 900;
      request.context = prompt;
    }
    if (i % 4 == 1) request.sampling = {.temperature = 0.8, .top_p = 0.9, .top_k = 20};
    if (i % 5 == 1) request.sampling.temperature = 0;
    request.stop = {7};
    out.push_back(std::move(request));
  }
  return out;
}

TEST(TheEngine, GeneratesTheSameBitsForEveryFamilyWhateverElseIsInTheBatch) { // ENG-1
  for (auto& config : families()) {
    const auto weights = lively(config, 4);
    const auto requests = mixed_requests();
    const auto wanted = alone(weights, requests);
    const auto engine = engine_with(weights, {.prefill_chunk = 5});
    for (auto& request : requests) ASSERT_TRUE(engine->submit(request));
    const auto got = run_all(*engine);
    for (std::size_t i = 0; i < requests.size(); ++i) expect_same(got.at(requests[i].sequence), wanted[i]);
  }
}

TEST(TheEngine, GeneratesTheSameBitsWhateverElseIsInTheBatch) { // ENG-1
  const auto weights = lively(tiny(), 3);
  const auto requests = mixed_requests();
  const auto wanted = alone(weights, requests);
  const engine_limits variants[] = {{},
                                    {.prefill_chunk = 1},
                                    {.prefill_chunk = 7},
                                    {.max_sequences = 1},
                                    {.max_sequences = 3, .prefill_chunk = 16},
                                    {.max_kv_tokens = 192},
                                    {.threads = 2},
                                    {.prefill_chunk = 5, .threads = 3}};
  for (const auto& limits : variants) {
    const auto engine = engine_with(weights, limits);
    for (auto& request : requests) ASSERT_TRUE(engine->submit(request));
    const auto got = run_all(*engine);
    ASSERT_EQ(got.size(), requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) expect_same(got.at(requests[i].sequence), wanted[i]);
  }
}

TEST(TheEngine, GeneratesTheSameBitsOnEveryInstructionSet) { // ENG-1
  const auto weights = lively(tiny(), 4);
  auto requests = mixed_requests();
  requests.resize(6);
  const auto wanted = alone(weights, requests);
  for (auto set : {instruction_set::portable, instruction_set::avx2, instruction_set::avx512}) {
    if (!has(set)) continue;
    const auto engine = engine_with(weights, {}, set);
    for (auto& request : requests) ASSERT_TRUE(engine->submit(request));
    const auto got = run_all(*engine);
    for (std::size_t i = 0; i < requests.size(); ++i) expect_same(got.at(requests[i].sequence), wanted[i]);
  }
}

TEST(TheEngine, ResumesATurnWithTheSameBitsWithAndWithoutItsCache) { // ENG-1
  const auto weights = lively(tiny(), 5);
  random_stream random(6);
  const auto engine = engine_with(weights);
  auto request = ask(1, random_tokens(random, 20), 15);
  for (int turn = 0; turn < 3; ++turn) {
    ASSERT_TRUE(engine->submit(request));
    const auto got = run_all(*engine).at(1);
    expect_same(got, alone(weights, {request}).front());
    if (turn > 0) {
      EXPECT_GT(engine->stats().reused_tokens, 20u);
    }
    request.context.insert(request.context.end(), got.tokens.begin(), got.tokens.end());
    const auto observation = random_tokens(random, 9);
    request.context.insert(request.context.end(), observation.begin(), observation.end());
  }
  // a rewritten context: what is still common is used, the rest is not
  request.context.erase(request.context.begin() + 30, request.context.begin() + 50);
  ASSERT_TRUE(engine->submit(request));
  expect_same(run_all(*engine).at(1), alone(weights, {request}).front());
}

TEST(AGroup, ComputesItsPromptOnce) {
  const auto weights = lively(tiny(), 6);
  random_stream random(8);
  const auto prompt = random_tokens(random, 61);
  for (int chunk : {256, 10}) {
    const auto engine = engine_with(weights, {.prefill_chunk = chunk});
    std::vector<generate_request> requests;
    for (std::uint64_t i = 1; i <= 8; ++i) {
      requests.push_back(ask(i, prompt, 20));
      requests.back().group = 5;
      ASSERT_TRUE(engine->submit(requests.back()));
    }
    const auto got = run_all(*engine);
    const auto wanted = alone(weights, requests);
    for (std::size_t i = 0; i < 8; ++i) expect_same(got.at(i + 1), wanted[i]);
    EXPECT_EQ(engine->stats().prefilled_tokens, 61u + 7u); // each of the others its last position
    EXPECT_EQ(engine->stats().reused_tokens, 7u * 60u);

    auto late = ask(9, prompt, 5); // the prompt is still there when nobody generates
    late.group = 5;
    ASSERT_TRUE(engine->submit(late));
    run_all(*engine);
    EXPECT_EQ(engine->stats().prefilled_tokens, 61u + 8u);
    engine->forget(5); // all of them are idle
    EXPECT_EQ(engine->stats().kv_tokens, 0);
  }
}

TEST(ASequence, ThatDivergesInsideASharedBlockLeavesTheOthersAlone) { // KV-2
  const auto weights = lively(tiny(), 7);
  random_stream random(9);
  const auto prompt = random_tokens(random, 48);
  const auto engine = engine_with(weights);
  auto first = ask(1, prompt, 10), second = ask(2, prompt, 10);
  first.group = second.group = 3;
  ASSERT_TRUE(engine->submit(first));
  run_all(*engine);
  ASSERT_TRUE(engine->submit(second));
  run_all(*engine);
  second.context.resize(25); // cuts into the middle of a block that both own, and writes there
  second.context.push_back(99);
  ASSERT_TRUE(engine->submit(second));
  run_all(*engine);
  first.context.push_back(1);
  ASSERT_TRUE(engine->submit(first));
  expect_same(run_all(*engine).at(1), alone(weights, {first}).front());
}

TEST(NewWeights, TakeEffectBetweenTwoStepsAndMarkTheirTokens) { // ENG-2
  const auto old_weights = lively(tiny(), 8), new_weights = lively(tiny(), 9);
  for (auto policy : {kv_policy::keep, kv_policy::recompute}) {
    const auto engine = engine_with(old_weights);
    random_stream random(10);
    auto request = ask(1, random_tokens(random, 12), 30);
    ASSERT_TRUE(engine->submit(request));
    std::vector<generated> finished;
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(engine->step(finished));
    engine->set_weights(new_weights, 2, policy);
    const auto got = run_all(*engine).at(1);
    ASSERT_EQ(got.versions.size(), got.tokens.size());
    EXPECT_TRUE(std::all_of(got.versions.begin(), got.versions.begin() + 10, [](auto v) { return v == 1; }));
    EXPECT_TRUE(std::all_of(got.versions.begin() + 10, got.versions.end(), [](auto v) { return v == 2; }));
    const auto before = alone(old_weights, {request}).front();
    EXPECT_TRUE(std::equal(before.tokens.begin(), before.tokens.begin() + 10, got.tokens.begin()));
    if (policy == kv_policy::recompute) { // what follows is what the new weights say of the same context
      auto rest = request;
      rest.context.insert(rest.context.end(), got.tokens.begin(), got.tokens.begin() + 10);
      rest.max_new_tokens = 20;
      const auto after = alone(new_weights, {rest}).front();
      EXPECT_TRUE(std::equal(after.tokens.begin(), after.tokens.end(), got.tokens.begin() + 10));
      EXPECT_TRUE(std::equal(after.logprobs.begin(), after.logprobs.end(), got.logprobs.begin() + 10));
    }
  }
}

TEST(NewWeights, EndTheLendingOfWhatOlderOnesComputed) {
  const auto engine = engine_with(lively(tiny(), 8));
  random_stream random(10);
  auto first = ask(1, random_tokens(random, 40), 5), second = ask(2, first.context, 5);
  first.group = second.group = 4;
  ASSERT_TRUE(engine->submit(first));
  run_all(*engine);
  const auto weights = lively(tiny(), 9);
  engine->set_weights(weights, 2, kv_policy::keep);
  ASSERT_TRUE(engine->submit(second));
  expect_same(run_all(*engine).at(2), alone(weights, {second}).front());
}

TEST(TheEngine, ReturnsEveryRequestOnceUnlessCancelled) { // ENG-3
  const auto weights = lively(tiny(), 12);
  random_stream random(13);
  const auto engine = engine_with(weights, {.max_sequences = 5, .max_kv_tokens = 800, .prefill_chunk = 20});
  std::map<std::uint64_t, int> outcome; // submitted, cancelled (-1), returned
  std::vector<generated> finished;
  std::uint64_t next = 1;
  for (int round = 0; round < 400; ++round) {
    if (random.chance(0.4)) {
      auto request =
          ask(next, random_tokens(random, 1 + random.below(60)), static_cast<int>(1 + random.below(40)));
      request.group = random.below(3);
      ASSERT_TRUE(engine->submit(request));
      outcome[next++] = 0;
    }
    if (random.chance(0.1) && next > 1) {
      const auto victim = 1 + random.below(next - 1);
      const bool was_there =
          outcome[victim] == 0 &&
          std::none_of(finished.begin(), finished.end(), [&](auto& g) { return g.sequence == victim; });
      EXPECT_EQ(engine->cancel(victim), was_there);
      if (was_there) outcome[victim] = -1;
    }
    if (random.chance(0.05)) engine->forget(1 + random.below(next));
    if (random.chance(0.02))
      engine->set_weights(weights, 2 + static_cast<std::uint64_t>(round),
                          random.chance(0.5) ? kv_policy::keep : kv_policy::recompute);
    engine->step(finished);
    EXPECT_LE(engine->stats().kv_tokens, 800);
    EXPECT_LE(engine->stats().active, 5);
  }
  while (engine->step(finished)) {
  }
  for (auto& g : finished) {
    EXPECT_EQ(outcome.at(g.sequence), 0);
    outcome[g.sequence] = 1;
    EXPECT_EQ(g.tokens.size(), g.logprobs.size());
  }
  for (auto& [id, state] : outcome) EXPECT_NE(state, 0) << id;
  EXPECT_GT(engine->stats().evicted_tokens, 0u);
}

TEST(ARequest, EndsAtAStopTokenItsLengthOrTheContextsEnd) {
  const auto weights = lively(tiny(), 14);
  const auto engine = engine_with(weights);
  ASSERT_TRUE(engine->submit(ask(1, {5, 6}, 25)));
  const auto whole = run_all(*engine).at(1);
  EXPECT_EQ(whole.reason, finish_reason::length);
  EXPECT_EQ(whole.tokens.size(), 25u);

  auto stopping = ask(1, {5, 6}, 25);
  stopping.stop = {99, whole.tokens[9]};
  ASSERT_TRUE(engine->submit(stopping));
  const auto stopped = run_all(*engine).at(1);
  EXPECT_EQ(stopped.reason, finish_reason::stop);
  const auto first = std::find(whole.tokens.begin(), whole.tokens.end(), whole.tokens[9]);
  EXPECT_EQ(stopped.tokens, std::vector<token>(whole.tokens.begin(), first + 1));

  ASSERT_TRUE(engine->submit(ask(2, std::vector<token>(150, 3), 25)));
  const auto full = run_all(*engine).at(2);
  EXPECT_EQ(full.reason, finish_reason::context_full);
  EXPECT_EQ(full.tokens.size(), 10u);
}

TEST(TheEngine, RefusesWhatItCannotDoAndSaysWhy) {
  const auto engine = engine_with(lively(tiny(), 15), {.max_kv_tokens = 64});
  const auto code = [&](generate_request r) { return engine->submit(std::move(r)).error().code; };
  EXPECT_EQ(code(ask(1, {}, 5)), errc::invalid);
  EXPECT_EQ(code(ask(1, {1, 100}, 5)), errc::invalid);
  EXPECT_EQ(code(ask(1, {-1}, 5)), errc::invalid);
  EXPECT_EQ(code(ask(1, {1}, 0)), errc::invalid);
  EXPECT_EQ(code(ask(1, std::vector<token>(160, 1), 1)), errc::exhausted);
  EXPECT_EQ(code(ask(1, std::vector<token>(60, 1), 5)), errc::exhausted);
  auto odd = ask(1, {1}, 5);
  odd.sampling.top_p = 0;
  EXPECT_EQ(code(odd), errc::invalid);
  odd.sampling = {.temperature = -1};
  EXPECT_EQ(code(odd), errc::invalid);
  ASSERT_TRUE(engine->submit(ask(1, {1}, 5)));
  EXPECT_EQ(code(ask(1, {1}, 5)), errc::conflict);
  EXPECT_FALSE(engine->cancel(77));
  EXPECT_TRUE(engine->cancel(1));
  EXPECT_FALSE(engine->cancel(1));
  EXPECT_THROW(engine->set_weights(lively(model_config{}, 1), 2, kv_policy::keep), std::invalid_argument);
  EXPECT_EQ(make_cpu_engine({.head_dim = 31}, {}).error().code, errc::invalid);
  EXPECT_EQ(make_cpu_engine({}, {.threads = 0}).error().code, errc::invalid);
}

TEST(TheEngine, HasNothingToDoBeforeItHasWeightsOrRequests) {
  auto made = make_cpu_engine(tiny(), {});
  ASSERT_TRUE(made);
  std::vector<generated> finished;
  ASSERT_TRUE((*made)->submit(ask(1, {1}, 3)));
  EXPECT_FALSE((*made)->step(finished));
  (*made)->set_weights(lively(tiny(), 1), 1, kv_policy::keep);
  EXPECT_EQ(run_all(**made).size(), 1u);
  EXPECT_FALSE((*made)->step(finished));
}

} // namespace
} // namespace troupe

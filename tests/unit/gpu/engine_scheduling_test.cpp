#include "engine_support.hpp"
#include <algorithm>

/// Who runs when, and what is computed once for many.
namespace troupe {
namespace {

TEST(TheEngine, PreemptsWhenItsMemoryRunsOutAndGeneratesTheSameBits) { // ENG-1, ENG-5
  const auto weights = lively(tiny(), 41);
  random_stream random(3);
  std::vector<generate_request> requests;
  for (std::uint64_t id = 1; id <= 8; ++id) {
    requests.push_back(ask(id, random_tokens(random, 5 + random.below(20)), 90));
    requests.back().priority = static_cast<int>(id % 3);
    requests.back().prompt_logprobs = id % 2 ? 0 : -1;
  }
  const auto wanted = alone(weights, requests);
  for (auto [tokens, threads] : {std::pair{160, 1}, {240, 2}, {400, 1}}) {
    const auto engine =
        engine_with(weights, {.max_kv_tokens = tokens, .prefill_chunk = 30, .threads = threads});
    for (auto& request : requests) ASSERT_TRUE(engine->submit(request));
    std::vector<generated> finished;
    for (bool more = true; more;) {
      more = engine->step(finished);
      EXPECT_LE(engine->stats().kv_tokens, tokens); // KV-1
    }
    ASSERT_EQ(finished.size(), requests.size());
    for (auto& got : finished) {
      expect_same(got, wanted[got.sequence - 1]);
      EXPECT_EQ(got.prompt_logprobs, wanted[got.sequence - 1].prompt_logprobs);
    }
    if (tokens < 400) {
      EXPECT_GT(engine->stats().preemptions, 0u) << tokens;
    }
    EXPECT_LE(engine->stats().preemptions, 8u * 3u + 8u) << tokens;
  }
}

TEST(ARequest, OfABetterPriorityTakesTheLastPlaceAndTheOtherGoesOnLater) { // ENG-5
  const auto weights = lively(tiny(), 42);
  auto slow = ask(1, {1, 2, 3}, 60), urgent = ask(2, {4, 5, 6}, 10);
  slow.priority = 5;
  const auto wanted = alone(weights, {slow, urgent});
  const auto engine = engine_with(weights, {.max_sequences = 1});
  ASSERT_TRUE(engine->submit(slow));
  std::vector<generated> finished;
  for (int i = 0; i < 20; ++i) engine->step(finished);
  ASSERT_TRUE(engine->submit(urgent));
  while (engine->step(finished)) {
  }
  ASSERT_EQ(finished.size(), 2u);
  EXPECT_EQ(finished[0].sequence, 2u);
  expect_same(finished[0], wanted[1]);
  expect_same(finished[1], wanted[0]);
  EXPECT_EQ(engine->stats().preemptions, 1u);
  EXPECT_EQ(engine->stats().prefilled_tokens, 6u); // its KV was still there
}

TEST(ARequestOfTheLowestPriority, EndsThoughBetterOnesNeverStopComing) { // ENG-4, ENG-5
  const auto weights = lively(tiny(), 43);
  const engine_limits limits{
      .max_sequences = 2, .max_kv_tokens = 96, .most_overtaken = 20, .most_preempted = 2};
  const auto engine = engine_with(weights, limits);
  auto low = ask(1, {1, 2, 3}, 50);
  low.priority = 9;
  const auto wanted = alone(weights, {low}).front();
  ASSERT_TRUE(engine->submit(low));
  std::vector<generated> finished;
  std::uint64_t next = 2, others = 0;
  for (bool ended = false; !ended;) {
    while (engine->stats().waiting < 4) ASSERT_TRUE(engine->submit(ask(next++, {4, 5}, 10)));
    finished.clear();
    engine->step(finished);
    for (auto& got : finished) {
      if (got.sequence == 1)
        expect_same(got, wanted), ended = true;
      else
        ++others;
    }
    // overtaken 20 times after each of at most two preemptions; one more place beside it while it runs
    ASSERT_LE(others, 3 * (20u + 6u) + 50u / 10u + 5u) << "starved";
  }
  EXPECT_GT(others, 20u);
}

TEST(RequestsThatKnowNothingOfEachOther, ComputeTheSameSystemPromptOnce) {
  const auto weights = lively(tiny(), 44);
  random_stream random(6);
  const auto system = random_tokens(random, 70);
  std::vector<generate_request> requests;
  for (std::uint64_t id = 1; id <= 5; ++id) {
    requests.push_back(ask(id, system, 10));
    const auto own = random_tokens(random, 6 + id);
    requests.back().context.insert(requests.back().context.end(), own.begin(), own.end());
  }
  const auto wanted = alone(weights, requests);
  for (int chunk : {256, 20}) {
    const auto engine = engine_with(weights, {.prefill_chunk = chunk});
    for (auto& request : requests) ASSERT_TRUE(engine->submit(request)); // all at once
    auto got = run_all(*engine);
    for (std::size_t i = 0; i < 5; ++i) expect_same(got.at(i + 1), wanted[i]);
    std::uint64_t own = 0;
    for (auto& request : requests) own += request.context.size() - system.size();
    EXPECT_EQ(engine->stats().prefilled_tokens, 70u + own);
    auto late = requests[0]; // long after
    late.sequence = 77, late.seed = 1;
    ASSERT_TRUE(engine->submit(late));
    got = run_all(*engine);
    EXPECT_GE(got.at(77).cached_tokens, 70);
    expect_same(got.at(77), alone(weights, {late}).front());
  }
}

TEST(ACachedPrompt, OfOlderWeightsIsNotLent) {
  const auto weights = lively(tiny(), 45);
  const auto engine = engine_with(lively(tiny(), 46));
  random_stream random(2);
  const auto prompt = random_tokens(random, 80);
  ASSERT_TRUE(engine->submit(ask(1, prompt, 3)));
  run_all(*engine);
  engine->set_weights(weights, 2, kv_policy::keep);
  ASSERT_TRUE(engine->submit(ask(2, prompt, 8)));
  const auto got = run_all(*engine).at(2);
  EXPECT_EQ(got.cached_tokens, 0);
  expect_same(got, alone(weights, {ask(2, prompt, 8)}).front());
}

TEST(ACancelledRequest, FreesItsMemoryAtOnceAtWhateverStep) {
  const auto weights = lively(tiny(), 47);
  random_stream random(9);
  const auto prompt = random_tokens(random, 40);
  auto kept = ask(1, random_tokens(random, 10), 25);
  const auto wanted = alone(weights, {kept}).front();
  for (int at = 0; at < 14; ++at) {
    const auto engine = engine_with(weights, {.max_sequences = 2, .prefill_chunk = 9});
    ASSERT_TRUE(engine->submit(kept));
    ASSERT_TRUE(engine->submit(ask(2, prompt, 30)));
    ASSERT_TRUE(engine->submit(ask(3, prompt, 30))); // waits
    std::vector<generated> finished;
    for (int i = 0; i < at; ++i) engine->step(finished);
    EXPECT_TRUE(engine->cancel(2));
    EXPECT_TRUE(engine->cancel(3));
    engine->forget(2);
    EXPECT_LE(engine->stats().kv_tokens, 32); // of the first alone
    EXPECT_EQ(engine->stats().waiting, at == 0 ? 1 : 0);
    while (engine->step(finished)) {
    }
    ASSERT_EQ(finished.size(), 1u);
    expect_same(finished[0], wanted);
  }
}

} // namespace
} // namespace troupe

#include "engine_support.hpp"
#include "gpu/batching_engine.hpp"
#include "gpu/request_queue.hpp"
#include "reference_model.hpp"
#include <algorithm>
#include <cmath>
#include <set>

/// What a single request may ask for, each against the plain model or against another way to the same.
namespace troupe {
namespace {

std::vector<token> whole(const generate_request& request, const generated& got) {
  auto all = request.context;
  all.insert(all.end(), got.tokens.begin(), got.tokens.end());
  return all;
}

/// The plain model's distribution of one next token after the penalty, the temperature and the cuts, sorted by
/// chance.
std::vector<std::pair<token, double>> plain_distribution(std::vector<double> logits, const token* begin,
                                                         const token* end, const sampling_params& how) {
  const std::set<token> seen(begin, end);
  for (token t : seen) {
    auto& l = logits[static_cast<std::size_t>(t)];
    l = l > 0 ? l / how.repetition_penalty : l * how.repetition_penalty;
  }
  std::vector<std::pair<token, double>> out;
  double most = -1e300, total = 0;
  for (double& l : logits) most = std::max(most, l /= how.temperature);
  for (std::size_t t = 0; t < logits.size(); ++t)
    out.emplace_back(static_cast<token>(t), std::exp(logits[t] - most));
  std::stable_sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.second > b.second; });
  if (how.top_k > 0) out.resize(std::min(out.size(), static_cast<std::size_t>(how.top_k)));
  std::erase_if(out, [&](auto& one) { return one.second < how.min_p; });
  for (auto& one : out) total += one.second;
  double reached = 0;
  std::size_t keep = 0;
  while (keep < out.size() && reached < how.top_p * total) reached += out[keep++].second;
  out.resize(keep);
  for (auto& one : out) one.second = std::log(one.second / reached);
  return out;
}

TEST(ARequest, IsSampledFromThePenalisedTemperedAndCutDistributionAndShowsItsLikeliestTokens) {
  const auto weights = lively(tiny(), 31);
  const reference_model reference(*weights);
  random_stream random(3);
  const sampling_params ways[] = {{.temperature = 1.5, .min_p = 0.2},
                                  {.temperature = 2, .top_k = 30, .min_p = 0.05},
                                  {.temperature = 1.3, .repetition_penalty = 1.7},
                                  {.temperature = 2, .top_p = 0.8, .min_p = 0.02, .repetition_penalty = 0.8}};
  for (const auto& way : ways) {
    auto request = ask(1, random_tokens(random, 25), 30);
    request.sampling = way;
    request.top_logprobs = 4;
    const auto engine = engine_with(weights);
    ASSERT_TRUE(engine->submit(request));
    const auto got = run_all(*engine).at(1);
    const auto all = whole(request, got);
    const auto logits = reference.logits(all);
    ASSERT_EQ(got.top.size(), got.tokens.size());
    for (std::size_t i = 0; i < got.tokens.size(); ++i) {
      const auto n = request.context.size() + i;
      const auto wanted = plain_distribution(logits[n - 1], all.data(), all.data() + n, way);
      const auto own =
          std::find_if(wanted.begin(), wanted.end(), [&](auto& one) { return one.first == got.tokens[i]; });
      ASSERT_NE(own, wanted.end()) << "token " << i << " was cut off";
      EXPECT_NEAR(got.logprobs[i], own->second, 2e-5);
      ASSERT_EQ(got.top[i].size(), std::min<std::size_t>(4, wanted.size()));
      for (std::size_t k = 0; k < got.top[i].size(); ++k) {
        EXPECT_EQ(got.top[i][k].id, wanted[k].first);
        EXPECT_NEAR(got.top[i][k].logprob, wanted[k].second, 2e-5);
      }
    }
  }
}

TEST(ARequest, TellsTheLogprobsOfItsContextHoweverItIsComputed) {
  const auto weights = lively(tiny(), 32);
  const reference_model reference(*weights);
  random_stream random(4);
  auto request = ask(1, random_tokens(random, 90), 3);
  request.prompt_logprobs = 2;
  const auto wanted = reference.logprobs(request.context);
  std::vector<generated> all;
  for (auto [chunk, threads] :
       {std::pair{256, 1}, {7, 1}, {256, 3}, {7, 2}}) { // several threads tell parts of one context
    const auto engine =
        engine_with(weights, {.prefill_chunk = chunk, .threads = threads, .split = work_split::outputs});
    auto warm = ask(1, request.context, 1); // has its keys and values in the cache already
    warm.group = request.group = 6;
    ASSERT_TRUE(engine->submit(warm));
    run_all(*engine);
    ASSERT_TRUE(engine->submit(request));
    auto other = ask(2, random_tokens(random, 40), 10);
    ASSERT_TRUE(engine->submit(other));
    all.push_back(run_all(*engine).at(1));
    EXPECT_EQ(all.back().cached_tokens, 0);
  }
  for (const auto& other : all) {
    EXPECT_EQ(all[0].prompt_logprobs, other.prompt_logprobs);
    EXPECT_EQ(all[0].prompt_top, other.prompt_top);
  }
  ASSERT_EQ(all[0].prompt_logprobs.size(), 90u);
  EXPECT_EQ(all[0].prompt_logprobs[0], 0.0f);
  EXPECT_TRUE(all[0].prompt_top[0].empty());
  for (std::size_t i = 1; i < 90; ++i) {
    const auto& row = wanted[i - 1];
    EXPECT_NEAR(all[0].prompt_logprobs[i], row[static_cast<std::size_t>(request.context[i])], 1e-5);
    ASSERT_EQ(all[0].prompt_top[i].size(), 2u);
    EXPECT_NEAR(all[0].prompt_top[i][0].logprob, *std::max_element(row.begin(), row.end()), 1e-5);
    EXPECT_GE(all[0].prompt_top[i][0].logprob, all[0].prompt_top[i][1].logprob);
  }
  request.prompt_logprobs = -1;
  expect_same(all[0], alone(weights, {request}).front());
}

TEST(ARequest, IgnoresStopTokensBeforeItsLeastLength) {
  const auto weights = lively(tiny(), 33);
  auto request = ask(1, {5, 6}, 40);
  const auto free = alone(weights, {request}).front();
  request.stop = {free.tokens[3], free.tokens[20]};
  request.min_new_tokens = 12;
  const auto got = alone(weights, {request}).front();
  std::size_t end = 11; // the twelfth token may be one that stops
  while (std::find(request.stop.begin(), request.stop.end(), free.tokens[end]) == request.stop.end()) ++end;
  EXPECT_EQ(got.tokens, std::vector<token>(free.tokens.begin(),
                                           free.tokens.begin() + static_cast<std::ptrdiff_t>(end) + 1));
  EXPECT_EQ(got.reason, finish_reason::stop);
}

TEST(AStreamingRequest, TellsEveryTokenInTheStepThatSampledIt) {
  const auto weights = lively(tiny(), 34);
  const auto engine = engine_with(weights);
  auto streaming = ask(1, {1, 2, 3}, 12), silent = ask(2, {4, 5}, 9);
  streaming.stream = true;
  streaming.top_logprobs = 1;
  ASSERT_TRUE(engine->submit(streaming));
  ASSERT_TRUE(engine->submit(silent));
  std::vector<generated> finished;
  std::vector<token_news> news;
  std::uint64_t sampled = 0;
  generated told;
  for (bool more = true; more;) {
    news.clear();
    more = engine->step(finished, &news);
    const bool running = more && told.tokens.size() < 12;
    EXPECT_EQ(news.size(), running ? 1u : 0u);
    for (auto& one : news) {
      EXPECT_EQ(one.sequence, 1u);
      EXPECT_EQ(one.index, sampled++);
      told.tokens.push_back(one.id);
      told.logprobs.push_back(one.logprob);
      told.versions.push_back(one.version);
      told.top.push_back(one.top);
    }
  }
  const auto& whole = finished[0].sequence == 1 ? finished[0] : finished[1];
  EXPECT_EQ(told.tokens, whole.tokens);
  EXPECT_EQ(told.logprobs, whole.logprobs);
  EXPECT_EQ(told.versions, whole.versions);
  EXPECT_EQ(told.top, whole.top);
  EXPECT_EQ(whole.tokens.size(), 12u);
}

TEST(ARequest, KnowsHowMuchOfItsContextWasCached) {
  const auto weights = lively(tiny(), 35);
  random_stream random(7);
  const auto engine = engine_with(weights);
  auto request = ask(1, random_tokens(random, 50), 10);
  request.group = 2;
  ASSERT_TRUE(engine->submit(request));
  auto got = run_all(*engine).at(1);
  EXPECT_EQ(got.cached_tokens, 0);
  auto sibling = ask(2, request.context, 10);
  sibling.group = 2;
  ASSERT_TRUE(engine->submit(sibling));
  EXPECT_EQ(run_all(*engine).at(2).cached_tokens, 49); // its last position is computed in any case
  request.context = whole(request, got);
  request.context.push_back(3);
  ASSERT_TRUE(engine->submit(request));
  EXPECT_EQ(run_all(*engine).at(1).cached_tokens, 59); // the last token generated was never computed
}

/// The order in which requests of these priorities, submitted at once, end in an engine with one place.
std::vector<std::uint64_t> order_of_ends(const std::vector<int>& priorities, int most_overtaken) {
  const auto engine = engine_with(lively(tiny(), 36), {.max_sequences = 1, .most_overtaken = most_overtaken});
  for (std::size_t i = 0; i < priorities.size(); ++i) {
    auto request = ask(i, {1, 2}, 2);
    request.priority = priorities[i];
    EXPECT_TRUE(engine->submit(request));
  }
  std::vector<generated> finished;
  while (engine->step(finished)) {
  }
  std::vector<std::uint64_t> out;
  for (auto& g : finished) out.push_back(g.sequence);
  return out;
}

TEST(Requests, StartByPriorityAndThenInOrderOfSubmission) { // ENG-4
  EXPECT_EQ(order_of_ends({0, 5, -1, 0, -1, 5}, 100), (std::vector<std::uint64_t>{2, 4, 0, 3, 1, 5}));
}

TEST(TheOldestRequest, IsOvertakenABoundedNumberOfTimes) { // ENG-4, QUE-1
  EXPECT_EQ(order_of_ends({9, 0, 0, 0, 8, 0, 0, 0, 0}, 2),
            (std::vector<std::uint64_t>{1, 2, 0, 3, 5, 6, 4, 7, 8}));
}

TEST(TheQueue, HoldsItsBoundWhateverComesAndGoes) { // QUE-1
  random_stream random(5);
  request_queue queue(7);
  std::map<std::uint64_t, int> waiting; // priority by number
  std::uint64_t next = 0, oldest_before = 0;
  int passes = 0, longest = 0;
  for (int round = 0; round < 20000; ++round) {
    if (random.chance(0.55) || queue.empty()) {
      auto made = std::make_unique<running_request>();
      made->number = made->request.sequence = ++next;
      made->rank = static_cast<int>(random.below(4));
      waiting.emplace(made->number, made->rank);
      queue.push(std::move(made));
    } else if (random.chance(0.1)) {
      const auto victim = 1 + random.below(next);
      EXPECT_EQ(queue.take(victim) != nullptr, waiting.erase(victim) == 1);
    } else {
      const auto oldest = waiting.begin()->first;
      if (oldest != oldest_before) oldest_before = oldest, passes = 0;
      const auto number = queue.pop()->number;
      if (number != oldest) longest = std::max(longest, ++passes);
      const auto mine = waiting.at(number);
      for (auto& [other, priority] : waiting) // by priority, then by age
        EXPECT_TRUE(number == oldest || mine < priority || (mine == priority && number <= other));
      waiting.erase(number);
    }
    EXPECT_EQ(queue.size(), waiting.size());
  }
  EXPECT_EQ(longest, 7);
}

TEST(NewWeights, MayEndAllRequestsWhichComeOutAsTheyAre) { // ENG-3
  const auto weights = lively(tiny(), 37);
  const auto engine = engine_with(weights, {.max_sequences = 2});
  for (std::uint64_t id = 1; id <= 4; ++id) ASSERT_TRUE(engine->submit(ask(id, {1, 2, 3}, 30)));
  std::vector<generated> finished;
  for (int i = 0; i < 5; ++i) engine->step(finished);
  engine->set_weights(lively(tiny(), 38), 2, kv_policy::abort);
  EXPECT_EQ(engine->stats().kv_tokens, 0);
  ASSERT_TRUE(engine->submit(ask(1, {1, 2, 3}, 4))); // the same sequence again, at once
  const auto fresh = alone(lively(tiny(), 38), {ask(1, {1, 2, 3}, 4)}).front();
  while (engine->step(finished)) {
  }
  ASSERT_EQ(finished.size(), 5u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(finished[i].reason, finish_reason::aborted);
    EXPECT_EQ(finished[i].tokens.size(), finished[i].sequence <= 2 ? 5u : 0u);
  }
  EXPECT_EQ(finished[4].tokens, fresh.tokens);
}

TEST(ARequest, WithAParameterOutOfRangeIsRefusedWithWhatWasExpected) {
  const auto engine = engine_with(lively(tiny(), 39));
  const auto message = [&](auto change) {
    auto request = ask(1, {1}, 5);
    change(request);
    const auto answer = engine->submit(request);
    return answer ? std::string() : answer.error().message;
  };
  EXPECT_NE(message([](auto& r) { r.sampling.min_p = 1; }).find("min_p is 1.0"), std::string::npos);
  EXPECT_NE(message([](auto& r) { r.sampling.min_p = -0.1; }).find("min_p"), std::string::npos);
  EXPECT_NE(message([](auto& r) { r.sampling.repetition_penalty = 0; }).find("repetition_penalty"),
            std::string::npos);
  EXPECT_NE(message([](auto& r) { r.sampling.temperature = std::nan(""); }).find("temperature"),
            std::string::npos);
  EXPECT_NE(message([](auto& r) { r.min_new_tokens = 6; }).find("min_new_tokens is 6"), std::string::npos);
  EXPECT_NE(message([](auto& r) { r.top_logprobs = -2; }).find("top_logprobs is -2"), std::string::npos);
  EXPECT_NE(message([](auto& r) { r.prompt_logprobs = -2; }).find("prompt_logprobs"), std::string::npos);
}

TEST(TenThousandRequests, WaitAndAllComeOut) {
  const auto engine = engine_with(lively(tiny(), 40), {.max_kv_tokens = 4096});
  random_stream random(8);
  for (std::uint64_t id = 1; id <= 10'000; ++id) {
    auto request = ask(id, {static_cast<token>(random.below(100)), 2, 3}, 2);
    request.priority = static_cast<int>(random.below(3));
    ASSERT_TRUE(engine->submit(request));
  }
  EXPECT_EQ(engine->stats().waiting, 10'000);
  EXPECT_EQ(run_all(*engine).size(), 10'000u);
  EXPECT_EQ(engine->stats().waiting, 0);
}

} // namespace
} // namespace troupe

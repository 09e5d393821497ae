// Engines that others make (vLLM, SGLang), as tests/foreign/ has them: what comes out of them is held to our CPU engine with the same weights.
#include "gpu/cpu_engine.hpp"
#include "gpu/remote/check_server.hpp"
#include "tests/foreign/sglang.hpp"
#include "tests/foreign/vllm.hpp"
#include "tests/unit/folder.hpp"
#include "tests/unit/gpu/turns_of.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t draws = 77; ///< the seed of all turns

model_config shape() {
  model_config c;
  c.family = model_family::llama, c.tie_word_embeddings = false;
  c.vocab_size = 50, c.hidden_size = 16, c.num_hidden_layers = 1, c.num_attention_heads = 2;
  c.num_key_value_heads = 2, c.head_dim = 8, c.intermediate_size = 16, c.max_position_embeddings = 64;
  return c;
}

/// Each version samples other tokens: its logits are far from flat.
weights_ptr weights(std::uint64_t seed) {
  auto out = initial_weights(shape(), seed);
  for (auto& [name, tensor] : out.tensors)
    if (name.find("lm_head") != name.npos)
      for (auto& value : tensor.data) value *= 40;
  return std::make_shared<const model_weights>(std::move(out));
}

enum class kind : std::uint8_t { vllm, sglang, sglang_without_spans };

struct AForeignEngine : testing::TestWithParam<kind> {
  test_folder place;
  std::unique_ptr<foreign::generator> server;
  std::vector<std::string> said;
  double temperature = 1;
  std::unique_ptr<engine_core> engine;

  void SetUp() override {
    ASSERT_TRUE(save_hf_model(place.path / "model", *weights(9)));
    if (GetParam() == kind::vllm)
      server = std::make_unique<foreign::vllm>(place.path / "model", draws);
    else
      server = std::make_unique<foreign::sglang>(place.path / "model", draws);
    server->how.spans = GetParam() != kind::sglang_without_spans;
    server->start();
  }
  void TearDown() override { engine.reset(); }
  bool is_vllm() const { return GetParam() == kind::vllm; }
  std::string load_path() const { return is_vllm() ? "/collective_rpc" : "/update_weights_from_disk"; }

  remote_options options() {
    remote_options out;
    out.url = server->url(), out.vocabulary = 50, out.context = 64, out.max_open = 4, out.nonce = 5;
    out.dialect = is_vllm() ? "vllm" : "sglang", out.model = "policy", out.temperature = temperature;
    out.weights = place.path / "engine";
    out.answer_deadline = 20s, out.control_deadline = 20s, out.first_pause = 2ms, out.longest_pause = 20ms;
    out.on_change = [this](bool away, const std::string& why) {
      said.push_back(away ? "away: " + why : "ready");
    };
    return out;
  }
  void begin() {
    engine = make_remote_engine(options());
    engine->set_weights(weights(1), 1, kv_policy::recompute);
  }
  /// The same, once the server has the weights and its logprobs were looked at.
  void begin_ready() {
    begin();
    ASSERT_TRUE(engine->submit(ask(100)));
    expect_turn(turns(1).at(0), 1);
  }
  static generate_request ask(std::uint64_t sequence, int length = 5) {
    generate_request out;
    out.sequence = sequence, out.max_new_tokens = 8, out.stream = true, out.seed = draws;
    for (int i = 0; i < length; ++i) out.context.push_back(1 + (i * 7) % 40);
    out.stop = {3};
    return out;
  }
  std::vector<generated> turns(std::size_t count, const std::function<void()>& meanwhile = {}) {
    return tests::turns_of(*engine, count, 20s, meanwhile);
  }
  void steps(int count) {
    std::vector<generated> out;
    for (int i = 0; i < count; ++i) engine->step(out);
    EXPECT_TRUE(out.empty());
  }
  /// Steps until it is so.
  void until(const std::function<bool()>& what) {
    std::vector<generated> out;
    for (int i = 0; i < 5000 && !server->with(what); ++i) engine->step(out);
    EXPECT_TRUE(server->with(what));
    EXPECT_TRUE(out.empty());
  }
  /// What the engine in this process makes of it.
  static generated here(const generate_request& request, std::uint64_t version) {
    auto local = std::move(*make_cpu_engine(shape(), {}));
    local->set_weights(weights(version), version, kv_policy::recompute);
    EXPECT_TRUE(local->submit(request));
    std::vector<generated> out;
    while (out.empty()) local->step(out);
    return out[0];
  }
  void expect_turn(const generated& turn, std::uint64_t version, int length = 5, double tempered = 1) {
    auto request = ask(turn.sequence, length);
    request.sampling.temperature = tempered;
    const auto right = here(request, version);
    EXPECT_EQ(turn.tokens, right.tokens) << "rollout " << turn.sequence;
    EXPECT_EQ(turn.logprobs, right.logprobs) << "rollout " << turn.sequence;
    EXPECT_EQ(turn.versions, right.versions) << "rollout " << turn.sequence;
    EXPECT_EQ(turn.reason, right.reason);
  }
  void expect_sentence(const std::string& words, const std::function<void()>& what) {
    try {
      what();
      ADD_FAILURE() << "it went on, expected: " << words;
    } catch (const std::exception& why) {
      EXPECT_NE(std::string(why.what()).find(words), std::string::npos) << why.what();
      EXPECT_NE(std::string(why.what()).find(server->url()), std::string::npos) << why.what();
    }
  }
  void somebody_aborts() {
    const auto post = [&](const std::string& path, const std::string& body) {
      EXPECT_EQ(http::fetch("POST", server->url() + path, body, {{"Content-Type", "application/json"}})
                    .value_or(http::response{0})
                    .status,
                200);
    };
    is_vllm() ? post("/pause?mode=abort", "") : post("/pause_generation", R"({"mode": "abort"})");
    is_vllm() ? post("/resume", "") : post("/continue_generation", "{}");
  }
  static std::string refused(const remote_options& how) {
    const auto got = check_remote_server(how);
    return got ? "it is fine" : got.error().message;
  }
};

INSTANTIATE_TEST_SUITE_P(OfEveryKind, AForeignEngine,
                         testing::Values(kind::vllm, kind::sglang, kind::sglang_without_spans),
                         [](const auto& one) {
                           return one.param == kind::vllm     ? "Vllm"
                                  : one.param == kind::sglang ? "Sglang"
                                                              : "SglangWithoutSpans";
                         });

} // namespace

TEST_P(AForeignEngine, SamplesWhatOurEngineDoesWithEachVersion) { // REM-2
  for (std::uint64_t version : {1, 2}) EXPECT_NE(here(ask(1), version).tokens, here(ask(1), 9).tokens);
  begin();
  for (std::uint64_t i = 1; i <= 10; ++i) ASSERT_TRUE(engine->submit(ask(i, 35)));
  for (const auto& turn : turns(10)) expect_turn(turn, 1, 35);
  engine->set_weights(weights(2), 2,
                      kv_policy::recompute); // the same prompts: what is cached of them is of the past
  for (std::uint64_t i = 11; i <= 20; ++i) ASSERT_TRUE(engine->submit(ask(i, 35)));
  for (const auto& turn : turns(10)) expect_turn(turn, 2, 35);
  ASSERT_TRUE(engine->submit(ask(1, 43))); // the next turn of a rollout
  expect_turn(turns(1).at(0), 2, 43);
  EXPECT_EQ(server->seen.loads, 2);
  EXPECT_EQ(server->seen.loads_with_open_turns, 0);
  EXPECT_EQ(server->seen.sampled_before_weights, 0);
  EXPECT_EQ(server->seen.seeds.size(), 21u) << "two turns with the same draws";
  EXPECT_EQ(server->seen.sampled_with_stale_cache, 0);
  EXPECT_EQ(server->seen.refused_while_paused, 0);
  EXPECT_EQ(server->seen.names_used_again, 0);
}

TEST_P(AForeignEngine, IsUpdatedOnlyWhileNoTurnIsOpen) { // REM-6
  begin_ready();
  server->with([&] { server->how.hold = true; });
  ASSERT_TRUE(engine->submit(ask(2)));
  ASSERT_TRUE(engine->submit(ask(3)));
  until([&] { return server->open_turns() == 2; });
  engine->set_weights(weights(2), 2, kv_policy::recompute);
  ASSERT_TRUE(engine->submit(ask(4)));
  steps(60);
  EXPECT_EQ(server->with([&] { return server->seen.loads; }), 1);
  EXPECT_EQ(server->with([&] { return server->open_turns(); }), 2u)
      << "a turn began with weights that are on their way out";
  engine->set_weights(weights(4), 4, kv_policy::recompute); // newer ones meanwhile: these are given
  server->with([&] { server->how.hold = false; });
  for (const auto& turn : turns(3)) expect_turn(turn, turn.sequence == 4 ? 4 : 1);
  EXPECT_EQ(server->seen.loads, 2);
  EXPECT_EQ(server->seen.loads_with_open_turns, 0);
  EXPECT_EQ(server->seen.aborted, 0);
}

TEST_P(AForeignEngine, ThatIsKilledAtAnyCallOfAnUpdateGetsTheWeightsAgain) { // REM-1, REM-2, REM-6
  begin();
  ASSERT_TRUE(engine->submit(ask(1)));
  turns(1);
  const std::set<std::string> paths(server->seen.calls.begin(), server->seen.calls.end());
  ASSERT_GE(paths.size(), is_vllm() ? 7u : 4u);
  std::uint64_t version = 1;
  for (const auto& path : paths) {
    SCOPED_TRACE(path);
    const int held = server->with([&] {
      server->how.held_path = path;
      return server->seen.held_calls;
    });
    ++version;
    engine->set_weights(weights(version), version, kv_policy::recompute);
    ASSERT_TRUE(engine->submit(ask(version)));
    until([&] { return server->seen.held_calls > held; });
    server->stop();
    server->how.held_path.clear();
    server->start(); // with what it was begun with
    expect_turn(turns(1).at(0), version);
    EXPECT_EQ(said.back(), "ready");
  }
  EXPECT_EQ(server->seen.sampled_before_weights, 0);
}

TEST_P(AForeignEngine, ThatBeginsAnewBetweenTwoCallsOfAnUpdateIsNotTakenForUpdated) { // REM-2, REM-6
  begin();
  ASSERT_TRUE(engine->submit(ask(1)));
  turns(1);
  const std::set<std::string> paths(server->seen.calls.begin(), server->seen.calls.end());
  std::uint64_t version = 1;
  for (const auto& path : paths) {
    SCOPED_TRACE(path);
    server->with([&] { server->how.reborn_at = path; });
    ++version;
    engine->set_weights(weights(version), version, kv_policy::recompute);
    ASSERT_TRUE(engine->submit(ask(version)));
    expect_turn(turns(1).at(0), version);
    EXPECT_TRUE(server->with([&] { return server->how.reborn_at.empty(); }));
  }
}

TEST_P(AForeignEngine, ThatDiesInTheMiddleOfAnAnswerAndComesBackWithOldWeights) { // REM-1, REM-2
  begin_ready();
  server->with([&] { server->how.hold = true; });
  ASSERT_TRUE(engine->submit(ask(1)));
  until([&] { return server->open_turns() == 1; });
  server->stop();
  ASSERT_TRUE(engine->submit(ask(2)));
  steps(20);
  EXPECT_NE(said.back().find("away"), std::string::npos);
  server->how.hold = false;
  server->start();
  for (const auto& turn : turns(2)) expect_turn(turn, 1);
  EXPECT_EQ(server->seen.loads, 2);
  EXPECT_EQ(server->seen.sampled_before_weights, 0);
}

TEST_P(AForeignEngine, ThatBeganAnewUnseenHasItsTurnsThrownAway) { // REM-2
  begin_ready();
  server->with([&] { server->be_reborn(); });
  for (std::uint64_t i = 2; i <= 4; ++i) ASSERT_TRUE(engine->submit(ask(i)));
  for (const auto& turn : turns(3)) expect_turn(turn, 1);
  EXPECT_GT(server->seen.sampled_before_weights, 0) << "nothing was sampled that had to be thrown away";
  EXPECT_EQ(server->seen.loads, 2);
}

TEST_P(AForeignEngine, AsksAgainForATurnThatSomebodyAborted) { // REM-1
  for (const bool before : {true, false}) {                    // also for what is asked before the first turn
    SCOPED_TRACE(before);
    before ? begin() : begin_ready();
    const int aborted = server->with([&] {
      server->how.hold = true;
      server->how.hold_after = before ? 0 : 3; // in the middle of a turn
      return server->seen.aborted;
    });
    ASSERT_TRUE(engine->submit(ask(1)));
    until([&] {
      return server->open_turns() == 1 && server->tokens_of_open_turns() >= server->how.hold_after;
    });
    somebody_aborts();
    EXPECT_EQ(server->with([&] { return server->seen.aborted; }), aborted + 1);
    server->with([&] { server->how.hold = false; });
    expect_turn(turns(1).at(0), 1);
  }
}

TEST_P(AForeignEngine, BeginsTurnsAnewWhenWeightsGoBack) { // REM-3
  begin_ready();
  engine->set_weights(weights(5), 5, kv_policy::recompute);
  server->with([&] { server->how.hold = true; });
  ASSERT_TRUE(engine->submit(ask(1)));
  until([&] { return server->open_turns() == 1; });
  engine->set_weights(weights(4), 4, kv_policy::recompute);
  server->with([&] { server->how.hold = false; });
  expect_turn(turns(1).at(0), 4);
}

TEST_P(AForeignEngine, WaitsForASlowUpdateAndGivesOneAgainThatIsTooSlow) { // REM-1, REM-6
  server->how.load_time = 300ms;
  begin();
  ASSERT_TRUE(engine->submit(ask(1)));
  expect_turn(turns(1).at(0), 1);
  EXPECT_EQ(server->seen.loads, 1);
  EXPECT_EQ(server->seen.turns, 1);
  engine.reset();

  auto hasty = options();
  hasty.control_deadline = 100ms;
  engine = make_remote_engine(hasty);
  engine->set_weights(weights(2), 2, kv_policy::recompute);
  ASSERT_TRUE(engine->submit(ask(2)));
  const auto out = turns(1, [&] {
    if (server->with([&] { return server->seen.loads; }) > 1)
      server->with([&] { server->how.load_time = 0ms; });
  });
  expect_turn(out.at(0), 2);
  EXPECT_GE(server->seen.loads, 3);
  EXPECT_EQ(server->seen.sampled_before_weights, 0);
}

TEST_P(AForeignEngine, EndsWithASentenceAboutWhatItCannotMend) { // REM-4
  const auto one_turn = [&] {
    begin();
    ASSERT_TRUE(engine->submit(ask(1)));
    turns(1);
  };
  server->how.broken_path = load_path();
  expect_sentence("giving it new weights: 500 Internal Server Error: it broke", one_turn);
  EXPECT_EQ(std::count(server->seen.calls.begin(), server->seen.calls.end(), load_path()), 8);
  server->how.broken_path.clear();
  server->how.short_logprobs = 1;
  expect_sentence("8 token ids, 7 logprobs and 8 weight versions, expected as many", one_turn);
  server->how.short_logprobs = 0;
  server->how.logits = true;
  temperature = 1;
  expect_sentence("(logprobs, no logits)", one_turn);
}

TEST_P(AForeignEngine, SamplesAtTheTemperatureWhoseLogprobsItHas) { // REM-7
  temperature = 0.7;
  begin();
  auto tempered = ask(1), greedy = ask(2), other = ask(3);
  tempered.sampling.temperature = 0.7, greedy.sampling.temperature = 0, other.sampling.temperature = 0.9;
  ASSERT_TRUE(engine->submit(tempered));
  ASSERT_TRUE(engine->submit(greedy));
  EXPECT_EQ(engine->submit(other).error().code, errc::invalid);
  for (const auto& turn : turns(2)) expect_turn(turn, 1, 5, turn.sequence == 1 ? 0.7 : 0);
  EXPECT_EQ(server->seen.temperatures, (std::set<std::string>{"0.70", "0.00"}));
  for (auto change : {+[](sampling_params& s) { s.top_p = 0.9; }, +[](sampling_params& s) { s.top_k = 5; },
                      +[](sampling_params& s) { s.min_p = 0.1; },
                      +[](sampling_params& s) { s.repetition_penalty = 1.1; }}) {
    auto cut = ask(4);
    change(cut.sampling);
    EXPECT_EQ(engine->submit(cut).error().code, errc::invalid);
  }
  server->stop(); // and comes back as another one
  server->how.raw_logprobs = true;
  server->start();
  ASSERT_TRUE(engine->submit(ask(5)));
  expect_sentence("the same at every temperature", [&] { turns(1); });
}

TEST_P(AForeignEngine, ThatARunCannotUseIsRefusedBeforeItBegins) { // REM-4, REM-7
  const auto says = [&](const std::string& words, const std::function<void(remote_options&)>& change = {}) {
    auto how = options();
    if (change) change(how);
    EXPECT_NE(refused(how).find(words), std::string::npos) << refused(how) << "\nexpected: " << words;
  };
  says("it is fine");
  const auto got = check_remote_server(options());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->dialect, is_vllm() ? "vllm" : "sglang");
  EXPECT_EQ(got->model, "policy");
  EXPECT_EQ(server->seen.loads, 0);

  server->how.raw_logprobs = true;
  says("it is fine"); // at temperature 1 they are the same
  temperature = 0.7;
  says(is_vllm()
           ? "expected those of the distribution that is sampled at rollout.temperature 0.7: vllm begun with "
             "--logprobs-mode processed_logprobs"
           : "sglang begun without SGLANG_RETURN_ORIGINAL_LOGPROB");
  server->how.raw_logprobs = false;
  says("it is fine");
  temperature = 1;
  server->how.logits = true;
  says("at most 0");
  server->how.logits = false;
  server->how.short_logprobs = 1;
  server->seen.turns = 1; // as if it had begun with a turn
  says("1 token ids, 0 logprobs and 1 weight versions");
  server->how.short_logprobs = 0;
  says(is_vllm() ? "Token id 50 is out of vocabulary" : "out-of-vocabulary token id 50",
       [](remote_options& how) { how.vocabulary = 51; });
  says("its model takes 2048 tokens", [](remote_options& how) { how.context = 4000; });
  says("the policy has a previous_token_map; expected model.path",
       [](remote_options& how) { how.of_transformers = false; });
  if (!is_vllm()) return;
  server->how.spans = false;
  says("\"weight_versions\" is null in the choice");
  server->stop();
  dynamic_cast<foreign::vllm&>(*server).dev_mode = false;
  server->start();
  says("GET /weight_info answers 404 Not Found");
  says("VLLM_SERVER_DEV_MODE=1");
}

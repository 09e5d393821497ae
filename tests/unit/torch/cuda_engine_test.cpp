#include "gpu/torch/find_device.hpp"
#include "torch_engine_support.hpp"

/// The engine on a CUDA device against the CPU engine. Without one these tests are skipped and say why.
namespace troupe {
namespace {

class TheEngineOnCuda : public testing::Test {
protected:
  void SetUp() override {
    if (const auto found = torch_detail::find_device("cuda"); !found) GTEST_SKIP() << found.error().message;
  }

  /// CUDA graphs, counted.
  torch_detail::torch_backend_options counted() {
    struct counting final : torch_detail::device_graph {
      counting(std::unique_ptr<device_graph> g, int& r) : graph(std::move(g)), replays(r) {}
      void replay() override { graph->replay(), ++replays; }
      std::unique_ptr<device_graph> graph;
      int& replays;
    };
    return {.device = "cuda",
            .record = [this, real = torch_detail::graph_recorder_for(c10::Device(c10::kCUDA, 0))](
                          const std::function<void()>& work) -> std::unique_ptr<torch_detail::device_graph> {
              auto graph = real(work);
              if (!graph) return nullptr;
              ++recordings;
              return std::make_unique<counting>(std::move(graph), replays);
            }};
  }
  int recordings = 0, replays = 0;
};

} // namespace

TEST_F(TheEngineOnCuda, GeneratesWhatTheCpuEngineDoesForEveryFamily) { // BACK-1, BACK-2
  auto configs = families();
  configs.push_back(tiny());
  for (const auto& config : configs)
    for (int chunk : {256, 5})
      expect_same_as_the_cpus(lively(config, 11), {.prefill_chunk = chunk}, counted());
}

TEST_F(TheEngineOnCuda, ReplaysRecordedDecoding) { // GRA-1
  const auto weights = lively(families()[5], 6);
  expect_same_as_the_cpus(weights, {.max_sequences = 4, .prefill_chunk = 16, .threads = 2}, counted());
  EXPECT_GT(recordings, 2);
  EXPECT_GT(replays, 4 * recordings);
}

TEST_F(TheEngineOnCuda, PreemptsAndTakesNewWeightsInFlight) { // ENG-2, ENG-5
  const auto before = lively(tiny(), 3), after = lively(tiny(), 4);
  const engine_limits limits{.max_kv_tokens = 160, .prefill_chunk = 30};
  const auto requests = requests_for(before->config, 60);
  const auto engine = torch_engine(before, limits, counted()), other = engine_with(before, limits);
  std::map<std::uint64_t, generated> got[2];
  for (int which = 0; auto* one : {engine.get(), other.get()}) {
    for (auto& request : requests) ASSERT_TRUE(one->submit(request));
    std::vector<generated> finished;
    for (std::uint64_t version = 2; version < 6; ++version) {
      for (int i = 0; i < 15; ++i) one->step(finished);
      one->set_weights(version % 2 == 0 ? after : before, version, kv_policy::recompute);
    }
    while (one->step(finished)) {
    }
    for (auto& g : finished) got[which][g.sequence] = std::move(g);
    ++which;
  }
  ASSERT_EQ(got[0].size(), requests.size());
  for (auto& [id, wanted] : got[1]) expect_close(got[0].at(id), wanted);
  EXPECT_GT(engine->stats().preemptions, 0u);
}

TEST_F(TheEngineOnCuda, IsNearFloat32InBfloat16) {
  const auto weights = lively(families()[0], 6);
  const auto requests = requests_for(weights->config, 20);
  const auto wanted = alone(weights, requests);
  const auto engine = torch_engine(weights, {.mode = arithmetic::fast}, counted());
  const auto got = answers(*engine, requests);
  for (std::size_t i = 0; i < requests.size(); ++i)
    for (std::size_t t = 1; t < wanted[i].prompt_logprobs.size(); ++t)
      EXPECT_NEAR(got.at(requests[i].sequence).prompt_logprobs[t], wanted[i].prompt_logprobs[t], 0.5);
}

TEST_F(TheEngineOnCuda, TakesTheMemoryOfAnEngineBeforeItAgain) {
  const auto memory = torch_detail::memory_of(c10::Device(c10::kCUDA, 0));
  EXPECT_FALSE(memory.of.empty());
  const auto weights = lively(tiny(), 3);
  const auto per_token = kv_bytes(weights->config, {.device = engine_device::cuda}, 16) / 16;
  const engine_limits most{.max_kv_tokens = memory.free / per_token * 6 / 10 / 16 * 16};
  for (int life = 0; life < 3; ++life) // more than half of the device each time
    expect_close(answers(*torch_engine(weights, most, counted()), {ask(1, {1, 2, 3}, 9)}).at(1),
                 alone(weights, {ask(1, {1, 2, 3}, 9)}).front());
}

} // namespace troupe

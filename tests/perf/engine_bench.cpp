// How fast the CPU engine decodes and prefills with the quickstart's model, on one thread unless the name
// says otherwise.
#include "gpu/cpu_engine.hpp"
#include "runtime/base/random.hpp"
#include <benchmark/benchmark.h>

namespace troupe {
namespace {

const model_config quickstart{.previous_token_map = true};

std::unique_ptr<engine_core> make_engine(int threads, instruction_set set, int sequences) {
  static const auto weights = std::make_shared<const model_weights>(initial_weights(quickstart, 1));
  auto engine = *make_cpu_engine(quickstart, {.max_sequences = sequences, .threads = threads}, set);
  engine->set_weights(weights, 1, kv_policy::keep);
  return engine;
}

generate_request request(std::uint64_t id, std::uint64_t context, int new_tokens) {
  random_stream random(id);
  generate_request out{.sequence = id, .max_new_tokens = new_tokens, .seed = 3};
  while (out.context.size() < context) out.context.push_back(static_cast<token>(random.below(1024)));
  return out;
}

/// Decoding alone: sequences with 40 tokens of context each generate 80.
void decode(benchmark::State& state, int threads, instruction_set set) {
  if (!has(set)) return state.SkipWithError("this processor lacks the instruction set");
  const auto sequences = static_cast<int>(state.range(0));
  const auto engine = make_engine(threads, set, sequences);
  std::vector<generated> finished;
  std::uint64_t id = 1;
  std::int64_t tokens = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (int i = 0; i < sequences; ++i) (void)engine->submit(request(id++, 40, 80));
    while (engine->stats().decoded_tokens < static_cast<std::uint64_t>(tokens + sequences))
      engine->step(finished);
    const auto before = engine->stats().decoded_tokens;
    state.ResumeTiming();
    while (engine->step(finished)) {
    }
    tokens += 80 * sequences;
    state.counters["decoded"] += static_cast<double>(engine->stats().decoded_tokens - before);
    state.PauseTiming();
    for (auto& g : finished) engine->forget(g.sequence);
    finished.clear();
    state.ResumeTiming();
  }
  state.counters["decoded"].flags = benchmark::Counter::kIsRate;
}

/// Prompts of 200 tokens, one new token each.
void prefill(benchmark::State& state) {
  const auto engine = make_engine(1, best_instruction_set(), 64);
  std::vector<generated> finished;
  std::uint64_t id = 1;
  for (auto _ : state) {
    for (int i = 0; i < 8; ++i) (void)engine->submit(request(id++, 200, 1));
    while (engine->step(finished)) {
    }
    for (auto& g : finished) engine->forget(g.sequence);
    finished.clear();
  }
  state.counters["prefilled"] = {static_cast<double>(engine->stats().prefilled_tokens),
                                 benchmark::Counter::kIsRate};
}

void load_weights(benchmark::State& state) {
  const auto engine = make_engine(1, best_instruction_set(), 64);
  const auto weights = std::make_shared<const model_weights>(initial_weights(quickstart, 1));
  for (auto _ : state) engine->set_weights(weights, 2, kv_policy::keep);
}

BENCHMARK_CAPTURE(decode, one_thread, 1, best_instruction_set())
    ->Arg(1)
    ->Arg(8)
    ->Arg(64)
    ->Arg(128)
    ->UseRealTime();
BENCHMARK_CAPTURE(decode, two_threads, 2, best_instruction_set())->Arg(8)->Arg(64)->UseRealTime();
BENCHMARK_CAPTURE(decode, avx2, 1, instruction_set::avx2)->Arg(64)->UseRealTime();
BENCHMARK_CAPTURE(decode, portable, 1, instruction_set::portable)->Arg(64)->UseRealTime()->Iterations(1);
BENCHMARK(prefill)->UseRealTime();
BENCHMARK(load_weights)->UseRealTime();

} // namespace
} // namespace troupe

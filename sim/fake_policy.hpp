#pragma once

#include "gpu/engine_core.hpp"
#include "gpu/learner.hpp"
#include "gpu/tokenizer.hpp"
#include "tools/tool.hpp"
#include <functional>
#include <map>

namespace troupe::sim {

/// The words of every simulated run: a tokenizer with the special tokens, trained once.
std::shared_ptr<const tokenizer> words();

/// The fake weights' number: a running hash of the warm-up's outcome and of everything trained on since.
float state_of(const model_weights& weights);

/// What the fake policy does: of all sequences the share `poisonous` is refused, whenever it is tried; of all turns, the share `calls` calls
/// a tool.
struct script_options {
  double poisonous = 0, calls = 0.5;
};
/// A policy without tensors: it writes a search call, an answer or nonsense, chosen by (seed, sequence, place in the context) alone,
/// one token a step; what a context says already of a turn must be its own words. Everything else (actors, tokenizer, parser, store) is
/// real. `loaded` hears of each set of weights taken in, `sampled` of each token.
std::unique_ptr<engine_core> scripted_engine(
    const script_options& options, std::function<void(std::uint64_t version, float state)> loaded,
    std::function<void()> sampled = [] {});
/// What it writes in the turn that begins at a place in the context.
std::vector<token> script_of(std::uint64_t seed, std::uint64_t sequence, std::size_t begin, double calls);
/// The logprob of each of its tokens: it tells the weights apart.
float logprob_of(float state);

/// One optimizer step, as the fake learner saw it.
struct optimizer_step {
  std::uint64_t version = 0; ///< of the weights before it
  std::vector<rl_sample> samples;
  float before = 0, after = 0; ///< state_of the weights
};

/// Weights that are a running hash of everything trained on, in order: two runs with the same hash trained on the same samples,
/// with the same rewards and baselines.
std::unique_ptr<learner> hashing_learner(const model_weights& start,
                                         std::function<void(const optimizer_step&)> stepped);

/// Effects of calls, by idempotency key, in a world that no crash of ours undoes.
using outside_world = std::map<std::string, int>;

/// What the fake tool does. Of all calls, by their idempotency keys, the share `failing` fails, and the share `poisonous` throws whenever
/// it is tried.
struct echo_options {
  double failing = 0, poisonous = 0;
  /// Where it has effects; then it is not idempotent. A poisonous call throws behind its effect. Must outlive the tool.
  outside_world* effects = nullptr;
  bool tells_outcome = false; ///< else it cannot say what became of a call
};
/// Answers every search with one line.
std::shared_ptr<tool> echo_tool(const echo_options& options);

} // namespace troupe::sim

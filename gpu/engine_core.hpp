#pragma once

#include "gpu/tokenizer.hpp"
#include "gpu/weights.hpp"
#include <cstdint>
#include <memory>
#include <vector>

namespace troupe {

/// How the next token is drawn. The logprob recorded is that of the distribution really sampled from:
/// penalised, tempered, cut to top-k and min-p, then top-p, and renormalised. temperature 0 is greedy; its
/// recorded logprob is that of the untempered softmax (penalised, where that is asked for).
struct sampling_params {
  double temperature = 1.0;
  double top_p = 1.0; ///< in (0, 1]; 1 = off
  int top_k = 0;      ///< 0 = off
  double min_p = 0;   ///< in [0, 1): tokens below min_p x the likeliest's chance are cut; 0 = off
  double repetition_penalty =
      1.0; ///< > 0, of every token in the context so far (CTRL, arXiv 1909.05858); 1 = off
  bool operator==(const sampling_params&) const = default;
};

/// A token and its logprob.
struct ranked_token {
  token id = 0;
  float logprob = 0;
  bool operator==(const ranked_token&) const = default;
};

/// One turn to generate: the whole context so far, as tokens. Sending the whole context makes the request
/// idempotent: whatever the engine still has of it in its KV cache is used, the rest is computed again.
struct generate_request {
  std::uint64_t sequence = 0; ///< the rollout's id: its KV stays cached between turns under it
  std::uint64_t group = 0;    ///< rollouts of one group share the prompt's KV (0: no group)
  std::vector<token> context; ///< not empty
  int max_new_tokens = 0;     ///< >= 1
  std::vector<token> stop;    ///< ends after any of these, which is part of the output
  sampling_params sampling;
  std::uint64_t seed = 0; ///< with the token's position in the context it fixes the draw (counter-based)
  std::uint64_t cache_salt = 0; ///< beginnings are found by content among sequences of one salt alone
  bool draws_by_seed = false;   ///< seed, draw_stream and position alone do; otherwise `sequence` does, too
  std::uint64_t draw_stream = 0;
  int min_new_tokens = 0; ///< `stop` counts only from so many tokens on
  /// So many of the likeliest tokens beside each sampled one, of the distribution that it was drawn from (what
  /// was cut off is not among them); -1: none are kept.
  int top_logprobs = -1;
  /// >= 0: the logprob of every context token given what precedes it (softmax at temperature 1), and so many of
  /// the likeliest beside it; the whole context is computed then, cached or not. -1: none.
  int prompt_logprobs = -1;
  int priority = 0;    ///< lower goes first; equal ones in order of submission
  bool stream = false; ///< its tokens also come out of `step` one by one
};

/// aborted: by a change of weights with kv_policy::abort. failed: the logits are no numbers (overflow).
enum class finish_reason : std::uint8_t { stop, length, context_full, aborted, failed };

/// One sampled token of a streaming request, told in the step that sampled it.
struct token_news {
  std::uint64_t sequence = 0;
  std::size_t index = 0; ///< among the new tokens
  token id = 0;
  float logprob = 0;
  std::uint64_t version = 0;
  std::vector<ranked_token> top; ///< where asked for
};

/// What was generated. `logprobs[i]` and `versions[i]` belong to `tokens[i]`.
struct generated {
  std::uint64_t sequence = 0;
  std::vector<token> tokens;
  std::vector<float> logprobs;
  std::vector<std::uint64_t> versions; ///< the policy version that sampled each token
  finish_reason reason = finish_reason::stop;
  std::vector<std::vector<ranked_token>> top; ///< by token, where asked for
  std::vector<float> prompt_logprobs;         ///< by context token ([0] is 0), where asked for
  std::vector<std::vector<ranked_token>> prompt_top;
  int cached_tokens = 0; ///< context tokens that were not computed again
};

/// What happens to cached keys and values when weights change. After `keep`, what a sequence generates
/// depends on where in it the weights changed as well (ENG-1 then holds for what is computed from the new
/// weights alone). `abort` ends all requests: they come out of the next step as they are.
enum class kv_policy : std::uint8_t { keep, recompute, abort };

/// exact: float32 arithmetic on the weights' float32 values, the bits that training compares with; weights that a file has quantised stay so in
/// memory (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0). fast, for serving: weights in 4 or 8 bits (float ones are rounded to 8), inputs of matrix products
/// rounded to 16 bits, sums of products exact. Both are batch-invariant (ENG-1).
enum class arithmetic : std::uint8_t { exact, fast };

/// Where an engine computes. automatic: on a CUDA device where there is one (gpu/engine_device.hpp). On CUDA `exact` is float32 throughout, and
/// `fast` multiplies in bfloat16 and keeps keys and values in it; a model's weights, dequantised, are there in that type, twice once new
/// ones came.
enum class engine_device : std::uint8_t { cpu, cuda, automatic };

/// How threads share a step: each has sequences of its own and never waits for another, or all work on every matrix and meet several times
/// in a layer. automatic: by outputs when there are fewer sequences than threads or the model is large.
enum class work_split : std::uint8_t { automatic, sequences, outputs };

struct engine_limits {
  int max_sequences = 64; ///< that decode in one step; more requests wait in order
  std::int64_t max_kv_tokens =
      1 << 18;             ///< cached tokens over all sequences; the least recently used idle ones go first
  int prefill_chunk = 256; ///< prompt tokens computed per step, so that no prompt stalls the others
  int threads = 1;
  int most_overtaken = 256; ///< ENG-4
  int most_preempted = 3;   ///< ENG-5
  arithmetic mode = arithmetic::exact;
  work_split split = work_split::automatic;
  engine_device device = engine_device::cpu;
};
/// Errors: invalid, names the limit that is out of range.
expected<void> check(const engine_limits& limits);

struct engine_stats {
  std::uint64_t steps = 0, decoded_tokens = 0, prefilled_tokens = 0, reused_tokens = 0, evicted_tokens = 0,
                preemptions = 0;
  int active = 0, waiting = 0;
  std::int64_t kv_tokens = 0;
};

/// Generation with continuous batching: sequences join and leave at every step.
///   ENG-1  What a sequence generates depends on its context, seed, sampling and the weights, never on what
///   else is in the
///          batch, on how its context reached the cache, or on thread count (batch-invariant): bit for bit on the CPU; on
///          other devices up to the rounding of sums, which is seen where two tokens are that close.
///   ENG-2  No weights change inside a step; every token carries the version that sampled it.
///   ENG-3  Every submitted request comes out of `step` exactly once, unless cancelled.
///   ENG-4  Requests start by priority; of those that wait, the one submitted first is overtaken by at most
///   `most_overtaken` later ones.
///   ENG-5  When KV memory or places run out, what came last or has a lower priority is preempted: it waits, keeps its tokens, and what was
///   lost of its KV is computed again. A request is preempted at most `most_preempted` times; from then on, or once it was overtaken as
///   often as ENG-4 allows, only such requests submitted before it go first, so that every request ends.
/// Not thread-safe: one owner.
class engine_core {
public:
  virtual ~engine_core() = default;
  /// Takes effect before the next step.
  virtual void set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) = 0;
  /// Errors: invalid (empty context, unknown token, a parameter out of range), exhausted (can never fit the context or
  /// the KV), conflict (this sequence is already generating).
  virtual expected<void> submit(generate_request request) = 0;
  /// Between two steps. False if there is no such request.
  virtual bool cancel(std::uint64_t sequence) = 0;
  /// Drops the KV kept for a sequence or, for all of its idle members, of a group.
  virtual void forget(std::uint64_t sequence) = 0;
  /// One step: a chunk of prefill and one token for every running sequence. Appends what finished and, where
  /// someone listens, the new tokens of streaming requests. False: nothing to do.
  virtual bool step(std::vector<generated>& finished, std::vector<token_news>* news = nullptr) = 0;
  virtual engine_stats stats() const = 0;
};

/// What the KV cache takes at its largest, in bytes; it grows with use.
std::int64_t kv_bytes(const model_config& config, std::int64_t tokens);
/// The most max_kv_tokens of which the KV cache takes `share` of the memory that this machine has free.
std::int64_t kv_tokens_that_fit(const model_config& config, double share = 0.5);

/// The CPU engine: our own kernels (AVX-512, AVX2 + FMA, portable), no LibTorch. Errors: invalid config or limits; exhausted, naming the
/// estimate, if the KV cache could outgrow the machine's memory. set_weights throws std::invalid_argument for weights of another
/// config and for values that are no numbers.
expected<std::unique_ptr<engine_core>> make_cpu_engine(const model_config& config,
                                                       const engine_limits& limits);

} // namespace troupe

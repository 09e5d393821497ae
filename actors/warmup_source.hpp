#pragma once

#include "actors/model_chat.hpp"
#include "actors/run_config.hpp"
#include "runtime/base/random.hpp"

#include <functional>
#include <mutex>

namespace troupe {

/// Makes the samples of a block of the warm-up: of its number, the step at which it begins, and a random stream of its own, and of
/// nothing else.
using sample_blocks = std::function<std::vector<sft_sample>(std::uint64_t block, std::int64_t first_step,
                                                            random_stream& random)>;

/// Demonstrations of the built-in world, in the mixture of the configuration. `chat` null: written in the own format.
sample_blocks demonstration_blocks(std::shared_ptr<const world> where, std::shared_ptr<const tokenizer> words,
                                   std::shared_ptr<const model_chat> chat, const run_config& config);

/// The mixture of demonstrations at a share of the warm-up, 0 to 1.
world::mixture mixture_at(const run_config::warmup_section& w, double progress);

/// The chats of warmup.data, whose text is `jsonl`: every one once before any comes again, in a fresh order each time. What is longer than model.context is
/// cut; `say` hears of it. Errors: invalid, as FILE:LINE: what was found and what was expected.
expected<sample_blocks> read_chat_blocks(const std::string& jsonl, const language_model& model,
                                         const std::vector<token>& ends, const run_config& config,
                                         const std::function<void(const json::object&)>& say);

/// Warm-up batches by step: a pure function of the seed and the step. The samples of a block are sorted by length, so that a
/// batch needs little padding; its batches come in a shuffled order. Blocks are made one after the other, as the
/// steps ask for them, under a lock.
class warmup_source {
public:
  warmup_source(sample_blocks blocks, const run_config& config)
      : blocks_(std::move(blocks)),
        seed_(derive_seed(static_cast<std::uint64_t>(config.seed), "demonstrations")),
        batch_tokens_(static_cast<std::size_t>(config.warmup.batch_tokens)) {}

  std::vector<sft_sample> batch(std::int64_t step);

private:
  void make_block();

  const sample_blocks blocks_;
  const std::uint64_t seed_;
  const std::size_t batch_tokens_; ///< padded
  std::mutex mutex_;
  std::uint64_t block_ = 0;
  std::int64_t first_ = 0; ///< step of batches_[0]
  std::vector<std::vector<sft_sample>> batches_;
};

} // namespace troupe

#pragma once

#include "gpu/learner.hpp"
#include "gpu/torch/losses.hpp"
#include "gpu/torch/model.hpp"
#include <functional>
#include <span>

namespace troupe::torch_detail {

/// Whole neighbouring samples [begin, end) that go through the model together.
struct sample_range {
  std::size_t begin = 0, end = 0;
  std::int64_t tokens = 0;
};

/// Cuts samples of these lengths, in their order, into passes of about equal tokens: at most max_tokens each
/// (one sample may be longer), and a whole multiple of `lanes` passes where there are samples enough, so that
/// no lane waits. A pure function: the same batch is cut the same way every time.
std::vector<sample_range> cut_into_passes(std::span<const std::int64_t> lengths, std::int64_t max_tokens,
                                          int lanes);

/// A batch in `parts` neighbouring pieces whose sizes differ by at most one; empty pieces are left out.
std::vector<sample_range> cut_evenly(std::size_t samples, int parts);

// -- what the learner refuses: errc::invalid names the sample, what was found and what was expected
expected<void> check_samples(const model_config& config, std::span<const sft_sample> samples);
expected<void> check_samples(const model_config& config, std::span<const rl_sample> samples,
                             std::uint64_t version);
expected<void> check_options(const rl_options& options);

/// Sequences end to end; asks about every token t >= 1 for which asked(sample, t).
struct sequence_ref {
  const std::vector<token>* tokens;
  double temperature;
};
packed_batch pack(std::span<const sequence_ref> sequences,
                  const std::function<bool(std::size_t, std::size_t)>& asked);

/// The numbers of some samples, one row per token asked about, in float64.
struct packed_sft {
  packed_batch batch;
  at::Tensor weights; ///< [queries]
};
packed_sft pack_samples(std::span<const sft_sample> samples);

struct packed_rl {
  packed_batch batch;
  loss_input in;                ///< without logprobs and divisor
  std::vector<float> behaviour; ///< again, for the statistics
  std::vector<std::uint64_t> versions;
};
/// `proximal` and `reference` have, by sample, one logprob per masked token; empty: none.
using logprob_table = std::vector<std::vector<float>>;
packed_rl pack_samples(std::span<const rl_sample> samples, std::span<const std::vector<float>> proximal = {},
                       std::span<const std::vector<float>> reference = {});

} // namespace troupe::torch_detail

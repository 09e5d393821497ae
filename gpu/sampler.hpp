#pragma once

#include "gpu/cpu_kernels.hpp"
#include "gpu/engine_core.hpp"

namespace troupe {

/// Memory that `sample` uses again and again.
struct sampler_space {
  aligned_floats exponentials;
  std::vector<double> block_sums;
  std::vector<token> order;
  std::vector<float> kept;
};

/// Draws by inversion from `uniform` in (0, 1). `logits` has padded(vocabulary) floats, -infinity beyond the
/// vocabulary. `top` likeliest tokens of the same distribution are put into `likeliest`, best first, where it is
/// not null.
///   SAM-1  Order of the cuts: temperature, top-k and min-p, then top-p on what they left (the smallest set of
///          the likeliest tokens whose probabilities reach top_p). Equal logits rank by id.
///   SAM-2  The logprob is that of the cut and renormalised distribution. Greedy: of the softmax at
///          temperature 1.
///   SAM-3  Sums over the vocabulary are in double, in an order that depends on the vocabulary alone.
///   SAM-4  Logits that are not numbers, or infinite, give the token -1.
ranked_token sample(const float* logits, int vocabulary, const sampling_params& how, double uniform,
                    const cpu_kernels& kernels, sampler_space& space, int top = 0,
                    std::vector<ranked_token>* likeliest = nullptr);

/// The logprob of one token under the softmax at temperature 1, and the `top` likeliest ones.
float logprob_of(token what, const float* logits, int vocabulary, const cpu_kernels& kernels,
                 sampler_space& space, int top = 0, std::vector<ranked_token>* likeliest = nullptr);

/// Makes tokens that are in the context already less likely: positive logits are divided by the penalty, others
/// multiplied with it. `distinct`: each token once.
void penalise(float* logits, const std::vector<token>& distinct, double penalty);

} // namespace troupe

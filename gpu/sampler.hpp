#pragma once

#include "gpu/cpu_kernels.hpp"
#include "gpu/engine_core.hpp"

namespace troupe {

/// A token and its logprob under the distribution that it was drawn from.
struct drawn_token {
  token id = 0;
  float logprob = 0;
};

/// Memory that `sample` uses again and again.
struct sampler_space {
  aligned_floats exponentials;
  std::vector<double> block_sums;
  std::vector<token> order;
};

/// Draws by inversion from `uniform` in (0, 1). `logits` has padded(vocabulary) floats, -infinity beyond the
/// vocabulary.
///   SAM-1  Order of the cuts: temperature, top-k, then top-p on what top-k left (the smallest set of the
///   likeliest tokens
///          whose probabilities reach top_p). Equal logits rank by id.
///   SAM-2  The logprob is that of the cut and renormalised distribution. Greedy: of the softmax at
///   temperature 1. SAM-3  Sums over the vocabulary are in double, in an order that depends on the vocabulary
///   alone.
drawn_token sample(const float* logits, int vocabulary, const sampling_params& how, double uniform,
                   const cpu_kernels& kernels, sampler_space& space);

} // namespace troupe

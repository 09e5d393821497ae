#pragma once

#include "gpu/model_config.hpp"
#include <vector>

namespace troupe {

/// What rotary positions turn by: pair i of a head's dimensions (i and i + head_dim/2) by position * per_pair[i]; `scale`
/// multiplies cosines and sines.
struct rope_frequencies {
  std::vector<double> per_pair; ///< head_dim / 2
  double scale = 1;
};

/// theta^(-2i/head_dim) (Su et al. 2021), changed as the config's scaling says:
///   linear  divided by the factor (position interpolation, Chen et al. 2023)
///   llama3  as they are for wavelengths below original / high_freq_factor, divided by the factor above original / low_freq_factor,
///           in between mixed (Llama 3.1)
///   yarn    mixed by how often a pair turns within the original length, and scaled attention (Peng et al. 2023)
/// in double precision; the formulas are those of transformers' modeling_rope_utils.
rope_frequencies rope_frequencies_of(const model_config& config);

} // namespace troupe

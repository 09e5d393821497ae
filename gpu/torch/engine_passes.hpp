#pragma once

#include "gpu/model_backend.hpp"

namespace troupe::torch_detail {

/// Rows of a step as a rectangle of `sequences` x `length` places, with blocks up to `width` for each sequence. Places that no row fills are
/// padding.
struct engine_pass {
  int sequences = 0, length = 0, width = 0;
  bool decodes = false;    ///< one row of each of its sequences, which has no other in the step
  std::vector<int> rows;   ///< [sequences * length]: a row of the step, or -1
  std::vector<int> wanted; ///< the places whose logits are asked for, ascending
};

/// What a pass may be as large as. One row of one sequence is always allowed.
struct pass_limits {
  int most_rows = 512;                              ///< places
  int most_wanted = 256;                            ///< logits of so many rows
  std::int64_t most_blocks = std::int64_t{1} << 20; ///< sequences * width: what attention gathers
};

/// The next size that decoding is padded to: few different sizes, so that few graphs are recorded. 1, 2, 4, 8, then multiples of 8.
int padded_batch(int sequences);
/// Powers of two.
int padded_width(int blocks);

/// Cuts the rows of a step (BACK-3: rows of a sequence stand together) into passes.
///   PASS-1  Every row is in exactly one pass, and rows of a sequence come in order: in one pass, or in passes that follow each other.
///   PASS-2  Sequences with one row decode: they come first, together, the longest first, in padded_batch x 1 with padded_width; sequences
///           beyond the last are padding.
///   PASS-3  Others are grouped with those that are at least half as long: at most half of a pass is padding.
std::vector<engine_pass> plan_passes(const std::vector<model_row>& rows, const pass_limits& limits);

} // namespace troupe::torch_detail

#pragma once

#include "cli/commands.hpp"

namespace troupe::cli {

/// `troupe bench learner [key=value ...]`: supervised steps of SmolLM2-135M (model.path, or $TROUPE_SMOLLM2, or weights made from
/// scratch in its shape) by the learner as the keys configure it, and, in turn with it, by a plain PyTorch loop with the same
/// arithmetic on the same batches (tests/oracles/learner_speed.py, where the oracles' environment has torch; else it says why not).
/// Prints tokens per second, their ratio, useful tokens, peak memory and the processor.
int bench_learner(const bench_arguments& arguments);

} // namespace troupe::cli

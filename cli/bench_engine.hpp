#pragma once

#include "cli/commands.hpp"

namespace troupe::cli {

/// The engine with real weights (a GGUF file) beside llama.cpp and Hugging Face's transformers: prefill, decoding of 1 and of 16 sequences, and
/// loading beside torch.load; tokens per second and ratios of one run. Words: model=FILE, threads=N, prompt=N, new=N, device=cuda (the same engine there, too). A peer that is not
/// installed is left out with the reason.
int bench_engine(const bench_arguments& arguments);

/// The tokenizer beside Hugging Face's tokenizers, by tests/oracles/tokenizer_speed.py. Words: tokenizer.json, then text files.
int bench_tokenizer(const bench_arguments& arguments);

} // namespace troupe::cli

#pragma once

#include "gpu/files/ggml_blocks.hpp"
#include "gpu/model_config.hpp"
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// A dense float32 tensor on the host, row-major.
struct host_tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> data;
};

/// A tensor as its file has it, mapped or in memory of its own: rows of numbers, or of blocks of quantised ones (GGUF's types).
struct stored_tensor {
  std::vector<std::int64_t> shape;
  ggml_type type = ggml_type::f32;
  std::string_view data;
  std::shared_ptr<const void> owner; ///< of what `data` looks at
};

/// Whether a reader turns tensors into float32, or leaves them as the file has them, mapped.
enum class tensor_form : std::uint8_t { float32, as_stored };

/// All tensors of a model by Hugging Face name ("model.layers.0.self_attn.q_proj.weight", shape [out, in]);
/// "model.previous_token_map.weight" [hidden, hidden] where the config asks for it. Immutable once published:
/// shared between learner, engines and checkpoint writer without a copy.
struct model_weights {
  model_config config;
  std::map<std::string, host_tensor> tensors;
  /// Those that are kept as their file has them (tensor_form::as_stored): a name is here or in `tensors`. The CPU engine takes them;
  /// for everybody else there is as_float32.
  std::map<std::string, stored_tensor> stored = {};
};
using weights_ptr = std::shared_ptr<const model_weights>;

host_tensor as_float32(const stored_tensor& tensor);
/// With nothing in `stored`.
model_weights as_float32(model_weights weights);

/// Fresh weights from a seed, the same on every machine. Initialisation: docs/decisions/0004.
model_weights initial_weights(const model_config& config, std::uint64_t seed);

/// The tensors a config asks for and their shapes; checked against what a file holds.
std::map<std::string, std::vector<std::int64_t>> expected_shapes(const model_config& config);
/// How many numbers they hold together.
std::int64_t parameter_count(const model_config& config);

/// What these weights are, down to the last bit: SHA-256 over names, shapes and values, in the order of the names, as 64
/// hexadecimal digits. Stored tensors count by their float32 values. It is what a run records of every version and what an engine compares before it takes weights. About 2 GB/s
/// where the processor has instructions for it.
std::string weights_checksum(const model_weights& weights);

} // namespace troupe

#pragma once

#include "gpu/learner.hpp"
#include "gpu/torch/model.hpp"

namespace troupe::torch_detail {

/// Errors: invalid (a rank below 1 or above a projection's sides, an unknown target: found and expected).
expected<void> check_adapters(const model_config& config, const adapter_options& options);

/// Where the adapters lie in a flat buffer of their own: for each layer and target "...lora_A.weight" [rank, in] and
/// "...lora_B.weight" [out, rank].
flat_layout make_adapter_layout(const model_config& config, const adapter_options& options);

/// A uniform within 1 / sqrt(in), as PEFT has it, from the seed and the name; B zero: the model is what it was.
void start_adapters(const flat_layout& layout, const adapter_options& options, const at::Tensor& flat);

/// Puts views of the adapters into the parameters, as leaves whose gradients land in `gradient`.
void view_adapters(const model_config& config, const adapter_options& options, const flat_layout& layout,
                   const at::Tensor& flat, const at::Tensor& gradient, model_parameters& to);

/// The base's flat weights with every adapter added: W + (alpha / rank) B A, a new buffer.
at::Tensor merge_adapters(const model_config& config, const adapter_options& options,
                          const flat_layout& base_layout, const at::Tensor& base, const flat_layout& layout,
                          const at::Tensor& flat);

} // namespace troupe::torch_detail

#pragma once

#include "gpu/learner.hpp"

namespace troupe {

/// The border between the program, which is linked without LibTorch, and libtroupe_torch.so, which holds it.
/// Raised with every change of learner.hpp, weights.hpp or model_config.hpp: a plugin of another build is
/// refused, not called.
inline constexpr int learner_plugin_version = 3;

extern "C" {
using learner_plugin_version_function = int();
/// A new learner, owned by the caller; or null, and `failure` says why. Throws nothing.
using learner_plugin_make_function = learner*(const model_weights* start, const learner_options* options,
                                              error* failure);
}

inline constexpr const char* learner_plugin_file = "libtroupe_torch.so";
inline constexpr const char* learner_plugin_version_symbol = "troupe_torch_version";
inline constexpr const char* learner_plugin_make_symbol = "troupe_torch_make_learner";

} // namespace troupe

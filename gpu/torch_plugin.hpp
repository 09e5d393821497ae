#pragma once

#include "gpu/engine_device.hpp"
#include "gpu/learner.hpp"
#include "gpu/model_backend.hpp"

namespace troupe {

/// The border between the program, which is linked without LibTorch, and libtroupe_torch.so, which holds it.
/// Raised with every change of learner.hpp, model_backend.hpp, engine_core.hpp, engine_device.hpp, kv_cache.hpp, weights.hpp or
/// model_config.hpp: a plugin of another build is refused, not called.
inline constexpr int torch_plugin_version = 4;

extern "C" {
using torch_plugin_version_function = int();
/// A new learner, owned by the caller; or null, and `failure` says why. Throws nothing.
using torch_plugin_learner_function = learner*(const model_weights* start, const learner_options* options,
                                               error* failure);
/// The same of a forward pass for the scheduler. `device`: cuda or plain.
using torch_plugin_backend_function = model_backend*(const model_config* config, const engine_limits* limits,
                                                     const char* device, error* failure);
/// Whether there is such a device, and what memory it has; or `failure` says what was found instead.
using torch_plugin_find_function = bool(const char* device, engine_memory* found, error* failure);
}

inline constexpr const char* torch_plugin_file = "libtroupe_torch.so";

/// What the plugin exports, as troupe_torch_version, troupe_torch_make_learner, troupe_torch_make_backend and troupe_torch_find_device.
struct torch_plugin {
  torch_plugin_learner_function* make_learner = nullptr;
  torch_plugin_backend_function* make_backend = nullptr;
  torch_plugin_find_function* find_device = nullptr;
};

/// Loads libtroupe_torch.so from beside the executable, or from $TROUPE_PLUGIN_DIR alone if that is set; it stays loaded. Errors: not_found
/// (where it was looked for and what to do is said, or why it cannot be loaded), version.
expected<torch_plugin> open_torch_plugin();

} // namespace troupe

#include "gpu/learner.hpp"

#include "gpu/torch_plugin.hpp"

namespace troupe {

bool has_fast_bfloat16() { return __builtin_cpu_supports("avx512bf16"); }

expected<std::unique_ptr<learner>> make_learner(const model_weights& start, const learner_options& options) {
  const auto plugin = open_torch_plugin();
  if (!plugin) return fail(plugin.error());
  error failure;
  std::unique_ptr<learner> made(plugin->make_learner(&start, &options, &failure));
  if (!made) return fail(failure);
  return made;
}

} // namespace troupe

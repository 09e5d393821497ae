#include "gpu/learner_plugin.hpp"
#include "gpu/torch/torch_learner.hpp"

extern "C" {

__attribute__((visibility("default"))) int troupe_torch_version() { return troupe::learner_plugin_version; }

__attribute__((visibility("default"))) troupe::learner*
troupe_torch_make_learner(const troupe::model_weights* start, const troupe::learner_options* options,
                          troupe::error* failure) {
  auto made = troupe::torch_detail::make_torch_learner(*start, *options);
  if (made) return made->release();
  *failure = made.error();
  return nullptr;
}

} // extern "C"

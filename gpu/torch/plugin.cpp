#include "gpu/torch/find_device.hpp"
#include "gpu/torch/torch_backend.hpp"
#include "gpu/torch/torch_learner.hpp"
#include "gpu/torch_plugin.hpp"
#include <c10/util/Exception.h>

extern "C" {

__attribute__((visibility("default"))) int troupe_torch_version() { return troupe::torch_plugin_version; }

__attribute__((visibility("default"))) troupe::learner*
troupe_torch_make_learner(const troupe::model_weights* start, const troupe::learner_options* options,
                          troupe::error* failure) {
  auto made = troupe::torch_detail::make_torch_learner(*start, *options);
  if (made) return made->release();
  *failure = made.error();
  return nullptr;
}

__attribute__((visibility("default"))) troupe::model_backend*
troupe_torch_make_backend(const troupe::model_config* config, const troupe::engine_limits* limits,
                          const char* device, troupe::error* failure) {
  auto made = troupe::torch_detail::make_torch_backend(*config, *limits, {.device = device});
  if (made) return made->release();
  *failure = made.error();
  return nullptr;
}

__attribute__((visibility("default"))) bool
troupe_torch_find_device(const char* device, troupe::engine_memory* found, troupe::error* failure) {
  try {
    const auto place = troupe::torch_detail::find_device(device);
    if (place) *found = troupe::torch_detail::memory_of(*place);
    if (!place) *failure = place.error();
    return place.has_value();
  } catch (const c10::Error& e) { // a driver that answers and then fails
    *failure = {troupe::errc::internal, std::string("LibTorch: ") + e.what_without_backtrace()};
    return false;
  }
}

} // extern "C"

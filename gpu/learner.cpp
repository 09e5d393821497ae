#include "gpu/learner.hpp"

#include "gpu/learner_plugin.hpp"
#include <cstdlib>
#include <dlfcn.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;

/// Where the plugin may lie: $TROUPE_PLUGIN_DIR alone if it is set; else beside the executable, above it
/// (test programs), and in ../lib (an installed tree).
std::vector<fs::path> plugin_places() {
  if (const char* folder = std::getenv("TROUPE_PLUGIN_DIR"); folder && *folder)
    return {fs::path(folder) / learner_plugin_file};
  std::error_code ignored;
  const fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  return {here / learner_plugin_file, here.parent_path() / learner_plugin_file,
          here.parent_path() / "lib" / learner_plugin_file};
}

expected<fs::path> find_plugin() {
  const auto places = plugin_places();
  std::error_code ignored;
  for (const auto& place : places)
    if (fs::exists(place, ignored)) return place;
  return fail(errc::not_found, "the training plugin " + std::string(learner_plugin_file) + " is not in " +
                                   places.front().parent_path().string() +
                                   ": build the target troupe_torch, or set TROUPE_PLUGIN_DIR to its folder");
}

expected<learner_plugin_make_function*> open_plugin() {
  const auto place = find_plugin();
  if (!place) return fail(place.error());
  void* library =
      dlopen(place->c_str(), RTLD_NOW | RTLD_LOCAL); // never closed: LibTorch does not survive dlclose
  if (!library) {
    const char* reason = dlerror();
    return fail(errc::not_found,
                "the training plugin cannot be loaded: " + std::string(reason ? reason : "unknown") +
                    ". If a torch library is named, LibTorch has moved or is not installed: "
                    "run ./troupe setup and build again");
  }
  auto* version =
      reinterpret_cast<learner_plugin_version_function*>(dlsym(library, learner_plugin_version_symbol));
  auto* make = reinterpret_cast<learner_plugin_make_function*>(dlsym(library, learner_plugin_make_symbol));
  if (!version || !make)
    return fail(errc::version,
                place->string() + " is not a training plugin of Troupe: build the target troupe_torch");
  if (const int found = version(); found != learner_plugin_version)
    return fail(errc::version, "the training plugin " + place->string() + " has interface " +
                                   std::to_string(found) + ", expected " +
                                   std::to_string(learner_plugin_version) +
                                   ": build the target troupe_torch again");
  return make;
}

} // namespace

bool has_fast_bfloat16() { return __builtin_cpu_supports("avx512bf16"); }

expected<std::unique_ptr<learner>> make_learner(const model_weights& start, const learner_options& options) {
  const auto make = open_plugin();
  if (!make) return fail(make.error());
  error failure;
  std::unique_ptr<learner> made((*make)(&start, &options, &failure));
  if (!made) return fail(failure);
  return made;
}

} // namespace troupe

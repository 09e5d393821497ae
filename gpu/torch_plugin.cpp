#include "gpu/torch_plugin.hpp"

#include <cstdlib>
#include <dlfcn.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;

/// Where the plugin may lie: $TROUPE_PLUGIN_DIR alone if it is set; else beside the executable, above it
/// (test programs), and in ../lib (an installed tree).
std::vector<fs::path> plugin_places() {
  if (const char* folder = std::getenv("TROUPE_PLUGIN_DIR"); folder && *folder)
    return {fs::path(folder) / torch_plugin_file};
  std::error_code ignored;
  const fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  return {here / torch_plugin_file, here.parent_path() / torch_plugin_file,
          here.parent_path() / "lib" / torch_plugin_file};
}

expected<fs::path> find_plugin() {
  const auto places = plugin_places();
  std::error_code ignored;
  for (const auto& place : places)
    if (fs::exists(place, ignored)) return place;
  return fail(errc::not_found, "the LibTorch plugin " + std::string(torch_plugin_file) + " is not in " +
                                   places.front().parent_path().string() +
                                   ": build the target troupe_torch, or set TROUPE_PLUGIN_DIR to its folder");
}

template <class Function>
Function* symbol(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

} // namespace

expected<torch_plugin> open_torch_plugin() {
  const auto place = find_plugin();
  if (!place) return fail(place.error());
  void* library =
      dlopen(place->c_str(), RTLD_NOW | RTLD_LOCAL); // never closed: LibTorch does not survive dlclose
  if (!library) {
    const char* reason = dlerror();
    return fail(errc::not_found,
                "the LibTorch plugin cannot be loaded: " + std::string(reason ? reason : "unknown") +
                    ". If a torch library is named, LibTorch has moved or is not installed: "
                    "run ./troupe setup and build again");
  }
  auto* version = symbol<torch_plugin_version_function>(library, "troupe_torch_version");
  if (version && version() != torch_plugin_version)
    return fail(errc::version, "the LibTorch plugin " + place->string() + " has interface " +
                                   std::to_string(version()) + ", expected " +
                                   std::to_string(torch_plugin_version) +
                                   ": build the target troupe_torch again");
  const torch_plugin out{symbol<torch_plugin_learner_function>(library, "troupe_torch_make_learner"),
                         symbol<torch_plugin_backend_function>(library, "troupe_torch_make_backend"),
                         symbol<torch_plugin_find_function>(library, "troupe_torch_find_device")};
  if (!version || !out.make_learner || !out.make_backend || !out.find_device)
    return fail(errc::version,
                place->string() + " is not a LibTorch plugin of Troupe: build the target troupe_torch");
  return out;
}

} // namespace troupe

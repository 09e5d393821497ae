#include "gpu/engine_device.hpp"

#include "gpu/batching_engine.hpp"
#include "gpu/cpu_kernels.hpp"
#include "gpu/torch_plugin.hpp"
#include <algorithm>
#include <limits>
#include <unistd.h>

namespace troupe {

namespace {

expected<engine_memory> find_cuda() {
  const auto plugin = open_torch_plugin();
  if (!plugin)
    return fail(plugin.error().code, "the engine's device is cuda, found none: " + plugin.error().message);
  engine_memory found;
  error failure;
  if (!plugin->find_device("cuda", &found, &failure)) return fail(failure);
  return found;
}

} // namespace

expected<engine_device> engine_device_by_name(std::string_view name) {
  for (const auto device : {engine_device::cpu, engine_device::cuda, engine_device::automatic})
    if (name == name_of(device)) return device;
  return fail(errc::invalid,
              "the device of an engine is \"" + std::string(name) + "\", expected cpu, cuda or auto");
}

std::string name_of(engine_device device) {
  return device == engine_device::cpu ? "cpu" : device == engine_device::cuda ? "cuda" : "auto";
}

expected<engine_device> resolve(engine_device wanted) {
  if (wanted == engine_device::cpu) return wanted;
  const auto found = find_cuda();
  if (found) return engine_device::cuda;
  if (wanted == engine_device::automatic) return engine_device::cpu;
  return fail(found.error());
}

expected<std::unique_ptr<engine_core>> make_engine(const model_config& config, const engine_limits& limits) {
  const auto device = resolve(limits.device);
  if (!device) return fail(device.error());
  if (*device == engine_device::cpu) return make_cpu_engine(config, limits);
  if (auto fine = check(config); !fine) return fail(fine.error());
  if (auto fine = check(limits); !fine) return fail(fine.error());
  const auto plugin = open_torch_plugin();
  if (!plugin) return fail(plugin.error());
  error failure;
  std::unique_ptr<model_backend> backend(plugin->make_backend(&config, &limits, "cuda", &failure));
  if (!backend) return fail(failure);
  return std::make_unique<batching_engine>(config, limits, std::move(backend),
                                           kernels_for(best_instruction_set()));
}

expected<engine_memory> memory_of(engine_device device) {
  const auto where = resolve(device);
  if (!where) return fail(where.error());
  if (*where == engine_device::cuda) return find_cuda();
  const auto page = static_cast<std::int64_t>(::sysconf(_SC_PAGESIZE));
  return engine_memory{"the machine", page * ::sysconf(_SC_AVPHYS_PAGES), page * ::sysconf(_SC_PHYS_PAGES)};
}

std::int64_t kv_bytes(const model_config& config, const engine_limits& limits, std::int64_t tokens) {
  if (limits.device == engine_device::cpu) return kv_bytes(config, tokens);
  const std::int64_t number = limits.mode == arithmetic::fast ? 2 : 4; // bfloat16 or float32
  const auto block =
      2 * lanes * number * config.num_hidden_layers * config.num_key_value_heads * config.head_dim;
  return std::min(tokens / lanes, std::numeric_limits<std::int64_t>::max() / block) * block;
}

} // namespace troupe

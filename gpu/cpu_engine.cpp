#include "gpu/cpu_engine.hpp"

#include "gpu/batching_engine.hpp"
#include "gpu/cpu_backend.hpp"
#include <fstream>

namespace troupe {

namespace {

/// In bytes, by /proc/meminfo; where there is none, all there can be.
std::int64_t memory(std::string_view which) {
  std::ifstream file("/proc/meminfo");
  for (std::string key, unit; file >> key;) {
    std::int64_t value = 0;
    file >> value >> unit;
    if (key == which) return value * 1024;
  }
  return std::numeric_limits<std::int64_t>::max();
}

std::string mebibytes(std::int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

} // namespace

std::int64_t kv_bytes(const model_config& config, std::int64_t tokens) {
  const auto block = static_cast<std::int64_t>(kv_layout(config).block_floats * sizeof(float));
  return std::min(tokens / lanes, std::numeric_limits<std::int64_t>::max() / block) * block;
}

std::int64_t kv_tokens_that_fit(const model_config& config, double share) {
  return static_cast<std::int64_t>(share * static_cast<double>(memory("MemAvailable:"))) /
         kv_bytes(config, lanes) * lanes;
}

expected<void> check(const engine_limits& limits) {
  const std::pair<const char*, std::int64_t> counts[] = {
      {"max_sequences", limits.max_sequences},   {"max_kv_tokens", limits.max_kv_tokens},
      {"prefill_chunk", limits.prefill_chunk},   {"threads", limits.threads},
      {"most_overtaken", limits.most_overtaken}, {"most_preempted", limits.most_preempted}};
  for (auto [name, count] : counts)
    if (count < 1)
      return fail(errc::invalid,
                  std::string("engine: ") + name + " is " + std::to_string(count) + ", expected at least 1");
  if (limits.threads > 256)
    return fail(errc::invalid,
                "engine: threads is " + std::to_string(limits.threads) + ", expected at most 256");
  return {};
}

expected<std::unique_ptr<engine_core>> make_cpu_engine(const model_config& config,
                                                       const engine_limits& limits, instruction_set kernels) {
  if (auto fine = check(config); !fine) return fail(fine.error());
  if (auto fine = check(limits); !fine) return fail(fine.error());
  if (!has(kernels)) return fail(errc::invalid, "engine: this processor lacks the instruction set asked for");
  const auto need = kv_bytes(config, limits.max_kv_tokens), all = memory("MemTotal:");
  if (need > all)
    return fail(errc::exhausted, "engine: a KV cache of " + std::to_string(limits.max_kv_tokens) +
                                     " tokens takes up to " + mebibytes(need) + ", this machine has " +
                                     mebibytes(all) + " in all; with what is free now max_kv_tokens can be " +
                                     std::to_string(kv_tokens_that_fit(config, 0.9)));
  return std::make_unique<batching_engine>(
      config, limits,
      std::make_unique<cpu_backend>(
          config, limits, kernel_set{&kernels_for(kernels), &quantised_kernels_for(kernels), limits.mode}),
      kernels_for(kernels));
}

expected<std::unique_ptr<engine_core>> make_cpu_engine(const model_config& config,
                                                       const engine_limits& limits) {
  return make_cpu_engine(config, limits, best_instruction_set());
}

} // namespace troupe

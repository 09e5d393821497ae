#include "cli/run_folder.hpp"

#include "runtime/base/file.hpp"

#include <algorithm>
#include <cstdlib>

namespace troupe::cli {

namespace fs = std::filesystem;

expected<run_config> run_folder::config() const {
  if (!exists()) {
    std::string known;
    std::error_code ignored;
    const auto parent = path.has_parent_path() ? path.parent_path() : fs::path("runs");
    for (const auto& entry : fs::directory_iterator(parent, ignored))
      if (fs::exists(entry.path() / "config.yaml"))
        known += (known.empty() ? "" : ", ") + entry.path().string();
    return fail(errc::not_found, "no run in " + path.string() + " (expected a folder with config.yaml)" +
                                     (known.empty() ? "" : "; there are: " + known));
  }
  return load_config<run_config>(path / "config.yaml");
}

expected<std::unique_ptr<event_store>> run_folder::store() const {
  if (!fs::exists(path / "run.db"))
    return fail(errc::not_found, "no store in " + path.string() + " (expected run.db)");
  return event_store::open_reader(path / "run.db", system_clock());
}

fs::path cache_folder() {
  if (const char* set = std::getenv("TROUPE_CACHE"); set && *set) return set;
  if (const char* base = std::getenv("XDG_CACHE_HOME"); base && *base) return fs::path(base) / "troupe";
  const char* home = std::getenv("HOME");
  return fs::path(home ? home : "/root") / ".cache" / "troupe";
}

namespace {
fs::path numbered(const run_config& config, int n) {
  return fs::path(config.run.folder) / (n == 1 ? config.run.name : config.run.name + "-" + std::to_string(n));
}
} // namespace

run_folder free_folder(const run_config& config) {
  int n = 1;
  while (fs::exists(numbered(config, n) / "config.yaml")) ++n;
  return {numbered(config, n)};
}

expected<run_folder> unfinished_folder(const run_config& config) {
  std::optional<run_folder> newest;
  int n = 1;
  for (; fs::exists(numbered(config, n) / "config.yaml"); ++n)
    if (run_folder one{numbered(config, n)}; !one.finished()) newest = one;
  if (newest) return *newest;
  if (n == 1)
    return fail(errc::not_found, "nothing to resume: no run in " + numbered(config, 1).string() +
                                     "; start it without --resume");
  return fail(errc::not_found, "nothing to resume: every run named " + config.run.name + " in " +
                                   config.run.folder + " is finished");
}

std::vector<config_difference> contradictions(const run_config& stored, const run_config& wanted) {
  // What may differ changes only what is still to come, never what has been.
  static const std::vector<std::string> free = {"run.name",
                                                "run.folder",
                                                "rl.steps",
                                                "rl.time_limit",
                                                "judge.",
                                                "faults.",
                                                "eval.",
                                                "control.",
                                                "checkpoint.",
                                                "warmup.checkpoint_every",
                                                "rollout.max_concurrent",
                                                "rollout.turn_timeout",
                                                "tools.timeout",
                                                "tools.simulated_",
                                                "engine.",
                                                "learner.threads",
                                                "learner.check_samples",
                                                "telemetry."};
  auto differences = config_diff(stored, wanted);
  std::erase_if(differences, [](const config_difference& d) {
    return std::any_of(free.begin(), free.end(),
                       [&](const std::string& prefix) { return d.key.starts_with(prefix); });
  });
  return differences;
}

} // namespace troupe::cli

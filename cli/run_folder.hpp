#pragma once

#include "actors/context.hpp"

namespace troupe::cli {

/// A run's folder, as commands find and read it.
struct run_folder {
  std::filesystem::path path;

  bool exists() const { return std::filesystem::exists(path / "config.yaml"); }
  /// The report is written last: a run that has one is finished.
  bool finished() const { return std::filesystem::exists(path / "report.json"); }

  /// Errors: not_found (no such run: the newest ones are named), invalid.
  expected<run_config> config() const;
  /// For reading, also while the run is in progress and where nothing may be written. Errors: not_found, corrupt, version, io.
  expected<std::unique_ptr<event_store>> store() const;
};

/// Where runs and caches live: <run.folder> of the config, $TROUPE_CACHE or the user's cache folder.
std::filesystem::path cache_folder();

/// For a new run: NAME, or NAME-2, NAME-3, ... if there are runs of that name.
run_folder free_folder(const run_config& config);
/// For --resume: the newest run of that name that is not finished. Errors: not_found, saying what there is.
expected<run_folder> unfinished_folder(const run_config& config);

/// Keys that a resumed run may not change, with both values; empty: none differs.
std::vector<config_difference> contradictions(const run_config& stored, const run_config& wanted);

} // namespace troupe::cli

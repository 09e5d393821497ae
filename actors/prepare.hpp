#pragma once

#include "actors/context.hpp"

namespace troupe {

/// Where a run's shared, reusable inputs live: the data packages and the caches.
struct run_paths {
  std::filesystem::path runs_folder; ///< <run.folder>; the run itself is runs_folder / run.name
  std::filesystem::path cache;       ///< $TROUPE_CACHE: data packages, warm-up cache
};

/// Everything a run needs before its first actor: data, tokenizer, search index, tasks, and the real parts (engine, learner,
/// store, checkpoints). What it made is left in the run's folder under data/, and taken from there when the run resumes.
/// `say` hears "stage" records. Errors: not_found (data package, corpus, tasks: what to do is said), invalid, disk_full, io.
expected<std::shared_ptr<run_context>> prepare_run(const run_config& config, const run_paths& paths,
                                                   const std::function<void(const json::object&)>& say);

} // namespace troupe

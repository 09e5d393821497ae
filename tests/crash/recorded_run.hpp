#pragma once

#include "tests/crash/run_on_disk.hpp"

#include "runtime/base/hash.hpp"
#include "tests/unit/folder.hpp"

#include <cstdlib>

namespace troupe::fakes {

namespace fs = std::filesystem;

/// TROUPE_ALL=1: every point instead of an even choice of them.
inline bool thorough() {
  const char* all = std::getenv("TROUPE_ALL");
  return all && *all && *all != '0';
}

/// In memory if there is such a file system: these disks need no real one.
inline fs::path quick_folder() { return fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path(); }

/// "2 internal ": the rollouts that ended for other reasons than the algorithm's own.
inline std::string rollouts_given_up(const ledger& book) {
  std::string out;
  for (const auto& [reason, count] : book.retired)
    if (reason != "no_signal" && reason != "negative_dropped")
      out += std::to_string(count) + " " + reason + " ";
  return out;
}

/// What is wrong with the end of a run; empty: nothing. One that may give up rollouts (three tries that all met a broken disk) need
/// not have the same weights then.
inline std::string wrong_with(run_on_disk& run, int steps, float weights, const std::string& model_hash,
                              const fs::path& folder, bool may_give_up = false) {
  auto& world = run.world;
  if (!world.run(std::chrono::minutes(30))) return "does not end\n" + world.diagnose();
  if (!world.end_reason.empty()) return "ends with: " + world.end_reason;
  const auto book = world.books();
  if (book.steps != static_cast<std::uint64_t>(steps)) return "made " + std::to_string(book.steps) + " steps";
  std::uint64_t retired = 0;
  for (const auto& [reason, count] : book.retired) retired += count;
  const auto size = static_cast<std::uint64_t>(world.opts.group_size);
  if (book.admitted * size != book.trained + retired + book.open_groups.size() * size)
    return "the balance does not hold";
  std::set<std::string> once;
  const auto rollbacks = world.records("rollback");
  for (const auto& r : world.records("consumption")) {
    const auto body = json::parse(r.body)->get_object();
    const bool undone = std::any_of(rollbacks.begin(), rollbacks.end(), [&](const record& back) {
      return back.seq > r.seq &&
             body.at("step").to_number<std::uint64_t>() >=
                 json::parse(back.body)->get_object().at("steps").to_number<std::uint64_t>();
    });
    if (undone) continue;
    for (const auto& id : body.at("trained").get_array())
      if (!once.insert(std::string(id.get_string())).second)
        return "trained twice on " + std::string(id.get_string());
  }
  const auto given_up = rollouts_given_up(book);
  if (!given_up.empty() && !may_give_up) return "gave up rollouts: " + given_up;
  auto last = load_checkpoint(folder / "checkpoints" / ("step-" + std::to_string(steps)));
  if (!last) return "its last checkpoint: " + to_string(last.error());
  if (!given_up.empty()) return {}; // it trained on what was left
  if (const auto found = last->weights.tensors.at("model.norm.weight").data[0]; found != weights)
    return "other weights: " + std::to_string(found) + ", expected " + std::to_string(weights);
  auto hash = sha256_file(folder / "checkpoints" / ("step-" + std::to_string(steps)) / "model.safetensors");
  if (!hash || *hash != model_hash) return "another model file";
  return {};
}

/// One undisturbed run, and the disk that noted it.
class recorded_run {
public:
  explicit recorded_run(int checkpoint_every) : every(checkpoint_every) {
    disk = std::make_unique<recorded_disk>(live.path);
    run_on_disk run(live.path, {.steps = steps, .checkpoint_every = every, .disk = disk.get()});
    const auto last = live.path / "checkpoints" / ("step-" + std::to_string(steps));
    ended = run.run() && run.world.end_reason.empty();
    if (!ended) return;
    operations = disk->log().size();
    history = run.history;
    weights = load_checkpoint(last)->weights.tensors.at("model.norm.weight").data[0];
    hash = *sha256_file(last / "model.safetensors");
  }
  /// Empty, or what is wrong after a power cut at `n`.
  std::string resume_after(std::size_t n, recorded_disk::luck how) const {
    test_folder after(quick_folder());
    disk->after_power_cut(n, how, derive_seed(n, 7), after.path);
    run_on_disk::acknowledged promised;
    for (const auto& then : history)
      if (then.operations <= n) promised = then;
    {
      auto store = event_store::open(after.path / "run.db", system_clock());
      if (!store) return "the store: " + to_string(store.error());
      std::size_t kept = 0;
      const auto kinds = (*store)->count_kinds();
      for (const auto& [kind, count] : *kinds) kept += count;
      if (kept < promised.records)
        return std::to_string(promised.records - kept) + " acknowledged records are lost";
    }
    if (promised.checkpoint) {
      const auto newest = load_latest_checkpoint(after.path / "checkpoints");
      if (!newest) return "the finished checkpoint is lost: " + to_string(newest.error());
      if (newest->step < *promised.checkpoint)
        return "the newest checkpoint is of step " + std::to_string(newest->step) + ", that of step " +
               std::to_string(*promised.checkpoint) + " was finished";
    }
    run_on_disk resumed(after.path, {.steps = steps, .checkpoint_every = every});
    return wrong_with(resumed, steps, weights, hash, after.path);
  }

  static constexpr int steps = 4;
  int every;
  test_folder live{quick_folder()};
  std::unique_ptr<recorded_disk> disk;
  bool ended = false;
  std::size_t operations = 0;
  float weights = 0;
  std::string hash;
  std::vector<run_on_disk::acknowledged> history;
};

} // namespace troupe::fakes

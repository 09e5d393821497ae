// Random damage to what a stopped run left: bits, truncations, lost, swapped and older files. A run goes on to the same weights, or is
// refused with a reason; never on to others.
#include "tests/crash/recorded_run.hpp"

#include "actors/audit.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/random.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using fakes::recorded_run;
using fakes::run_on_disk;
namespace fs = std::filesystem;

namespace {

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && fs::file_size(entry) > 0) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

void write(const fs::path& file, const std::string& bytes) {
  ASSERT_TRUE(write_file_atomically(file, bytes));
}

void replace(const fs::path& what, const fs::path& with) {
  fs::remove_all(what);
  if (fs::exists(with)) fs::copy(with, what, fs::copy_options::recursive);
}

/// One damage drawn from `random`; says which. `older`: the same run's folder at an earlier moment.
std::string damage(const fs::path& folder, const fs::path& older, random_stream& random) {
  const auto files = files_below(folder);
  const auto& file = files[random.below(files.size())];
  const auto name = fs::relative(file, folder).string();
  const auto steps = *list_checkpoints(folder / "checkpoints"); // the newest first; two are kept
  switch (random.below(8)) {
  case 0:
  case 1: {
    auto bytes = *read_file(file);
    for (std::uint64_t flips = 1 + random.below(3); flips > 0; --flips) {
      const auto bit = random.below(bytes.size() * 8);
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    }
    write(file, bytes);
    return "bits of " + name;
  }
  case 2: {
    auto bytes = *read_file(file);
    bytes.resize(random.below(bytes.size()));
    write(file, bytes);
    return "end of " + name;
  }
  case 3: fs::remove(file); return "lost " + name;
  case 4: {
    const char* parts[] = {"model.safetensors", "optimizer.safetensors", "manifest.json"};
    const auto part = parts[random.below(3)];
    fs::rename(steps[0] / part, folder / "aside");
    if (fs::exists(steps[1] / part)) fs::rename(steps[1] / part, steps[0] / part);
    fs::rename(folder / "aside", steps[1] / part);
    return std::string("swapped ") + part;
  }
  case 5: replace(steps[0], steps[1]); return "an older checkpoint under a newer name";
  case 6:
    for (const char* part : {"run.db", "run.db-wal"}) replace(folder / part, older / part);
    return "an older store";
  default: replace(folder / "checkpoints", older / "checkpoints"); return "older checkpoints";
  }
}

/// All rows, or why they cannot be read.
std::string rows_of(const fs::path& folder) {
  auto store = event_store::open(folder / "run.db", system_clock());
  if (!store) return "damaged";
  auto end = (*store)->position();
  return end ? std::to_string(end->seq) + "/" + std::to_string(end->chain) : "damaged";
}

} // namespace

TEST(ADamagedRun, GoesOnToTheSameWeightsOrIsRefusedNeverToOthers) { // promise 11
  const recorded_run undisturbed(1);
  ASSERT_TRUE(undisturbed.ended);
  struct counts {
    int all = 0, noticed = 0, refused = 0, resumed = 0;
  };
  std::map<std::string, counts> table;
  const int rounds = fakes::thorough() ? 3000 : 400;
  int unnoticed = 0;
  for (int round = 0; round < rounds; ++round) {
    random_stream random(derive_seed(static_cast<std::uint64_t>(round), "damage"));
    test_folder now(fakes::quick_folder()), older(fakes::quick_folder());
    const auto n = undisturbed.operations;
    const auto late = n / 2 + random.below(n / 2);
    undisturbed.disk->after_power_cut(late, recorded_disk::luck::all, 1, now.path);
    undisturbed.disk->after_power_cut(n / 8 + random.below(n / 4), recorded_disk::luck::all, 1, older.path);
    test_folder copy(fakes::quick_folder());
    fs::copy(now.path, copy.path, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    const auto rows = rows_of(copy.path);
    const auto newest = load_latest_checkpoint(now.path / "checkpoints");
    const auto what = damage(now.path, older.path, random);
    SCOPED_TRACE("round " + std::to_string(round) + ", " + what);
    auto& row = table[what];
    ++row.all;
    run_on_disk::options how{.steps = recorded_run::steps};
    const auto config = run_on_disk(copy.path, how).world.ctx->config;
    const auto facts = audit_run(now.path, config);
    const auto fine = check_resumable(now.path, config);
    const bool changed = rows_of(now.path) != rows;
    const bool noticed = !facts || !facts->at("balanced").as_bool();
    row.noticed += noticed;
    const auto newest_now = load_latest_checkpoint(now.path / "checkpoints");
    const bool has_other_checkpoints = newest && (!newest_now || newest_now->step < newest->step);
    const bool about_checkpoints = what.find("checkpoints/step-") != std::string::npos ||
                                   what.starts_with("swapped") || what.starts_with("an older checkpoint") ||
                                   (what == "older checkpoints" && has_other_checkpoints);
    if (about_checkpoints && !noticed) {
      ++unnoticed;
      ADD_FAILURE() << "the audit calls it balanced";
    }
    if (!fine) {
      ++row.refused;
      EXPECT_FALSE(fine.error().message.empty());
      continue;
    }
    run_on_disk resumed(now.path, how);
    EXPECT_EQ(wrong_with(resumed, undisturbed.steps, undisturbed.weights, undisturbed.hash, now.path), "")
        << (changed ? "rows were lost" : "all rows were there");
    ++row.resumed;
    if (HasFailure()) break;
  }
  std::printf("  %-55s %6s %8s %8s %22s\n", "damage", "times", "noticed", "refused", "to the same weights");
  for (const auto& [what, c] : table)
    std::printf("  %-55s %6d %8d %8d %22d\n", what.c_str(), c.all, c.noticed, c.refused, c.resumed);
  EXPECT_EQ(unnoticed, 0);
}

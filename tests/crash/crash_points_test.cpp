// A power cut at every write, fsync and change of a name of a whole training run.
#include "tests/crash/recorded_run.hpp"

#include <cstdio>
#include <gtest/gtest.h>

using namespace troupe;
using fakes::recorded_run;
using fakes::thorough;
namespace fs = std::filesystem;

namespace {

/// "checkpoints/.unfinished-step-3/model.safetensors" -> "checkpoints/*/model.safetensors"
std::string sort_of(const std::string& file) {
  const fs::path path(file);
  auto name = path.filename().string();
  if (const auto tmp = name.find(".tmp"); tmp != std::string::npos) name.resize(tmp);
  if (name.find("step-") != std::string::npos) name = "step-N";
  if (path.parent_path().filename().string().find("step-") != std::string::npos)
    return "checkpoints/*/" + name;
  return (path.parent_path() / name).string();
}

struct outcome {
  std::size_t points = 0, survived = 0;
};

} // namespace

TEST(APowerCut, AtAnyOperationOfARunIsResumedToTheSameWeights) { // promises 3 and 5, STORE-1, LEARN-1
  for (const int every : {1, 2}) {
    const recorded_run undisturbed(every);
    ASSERT_TRUE(undisturbed.ended);
    const auto total = undisturbed.operations;
    const std::size_t wanted = thorough() ? total : 300;
    std::map<std::string, outcome> table;
    std::vector<std::string> failures;
    std::size_t points = 0;
    for (std::size_t i = 0; i < wanted; ++i) {
      const auto n = wanted == total ? i + 1 : 1 + i * total / wanted;
      for (int luck = 0; luck < static_cast<int>(recorded_disk::luck::count); ++luck) {
        if (!thorough() && luck != static_cast<int>(i % 3)) continue;
        const auto wrong = undisturbed.resume_after(n, static_cast<recorded_disk::luck>(luck));
        const auto& at = undisturbed.disk->log()[n - 1];
        auto& row = table[sort_of(at.file) + "  " + recorded_disk::name_of(at.what)];
        ++row.points;
        ++points;
        if (wrong.empty())
          ++row.survived;
        else if (failures.size() < 10)
          failures.push_back("after operation " + std::to_string(n) + " (" + recorded_disk::name_of(at.what) +
                             " " + at.file + "), luck " + std::to_string(luck) + ": " + wrong);
      }
    }
    std::printf("checkpoint every %d steps: %zu operations, %zu crash points\n", every, total, points);
    std::printf("  %-50s %8s %9s\n", "after", "points", "survived");
    for (const auto& [what, row] : table)
      std::printf("  %-50s %8zu %9zu\n", what.c_str(), row.points, row.survived);
    for (const auto& failure : failures) ADD_FAILURE() << failure;
    for (const auto& [what, row] : table) EXPECT_EQ(row.survived, row.points) << what;
  }
}

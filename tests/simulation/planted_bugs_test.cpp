#include "sim/plants.hpp"
#include "sim/sweep.hpp"

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

constexpr std::uint64_t most_seeds = 2000; ///< in all worlds together

struct found_by {
  std::string world, check;
  std::uint64_t seeds = 0;
};

/// Every world gets some seeds, then more, until one finds it.
std::optional<found_by> hunt(const std::vector<named_world>& worlds) {
  std::uint64_t tried = 0, first = 0;
  for (std::uint64_t each = 10; tried + each * worlds.size() <= most_seeds; first += each, each *= 2)
    for (const auto& [name, what] : worlds) {
      const auto result = sweep(what, first, first + each - 1, 2);
      tried += result.seeds;
      if (result.broken) return found_by{name, result.broken->findings[0].first, tried};
    }
  return std::nullopt;
}

TEST(APlantedBug, IsFoundBySomeWorld) {
  auto worlds = all_worlds(std::filesystem::path(TROUPE_SOURCE_DIR) / "configs" / "worlds");
  ASSERT_TRUE(worlds) << to_string(worlds.error());
  for (auto& one : *worlds) one.what.minutes = 5; // a run that hangs need not hang for an hour
  std::printf("%-28s %6s  %-14s %s\n", "planted bug", "seeds", "world", "check");
  const char* only = std::getenv("TROUPE_PLANT"); // one bug alone, for work on the worlds
  for (const auto& bug : all_plants()) {
    if (only && bug.name != only) continue;
    ASSERT_TRUE(plant_bug(bug.name));
    const auto found = hunt(*worlds);
    plant_bug("");
    EXPECT_TRUE(found) << bug.name << " (" << bug.says << ") was not found in " << most_seeds << " seeds";
    if (found)
      std::printf("%-28s %6llu  %-14s %s\n", std::string(bug.name).c_str(),
                  static_cast<unsigned long long>(found->seeds), found->world.c_str(), found->check.c_str());
  }
  EXPECT_GE(all_plants().size(), 12u);
  EXPECT_FALSE(plant_bug("no such bug"));
}

} // namespace
} // namespace troupe::sim

#include "actors/replay_buffer/batch_choice.hpp"

#include "runtime/base/random.hpp"
#include <gtest/gtest.h>
#include <map>
#include <set>

namespace troupe {
namespace {

using ids = std::vector<std::uint64_t>;

TEST(TheChoiceOfABatch, TakesCompleteGroupsInAdmissionOrder) {
  EXPECT_EQ(choose_batch({{0, 0, true}, {1, 0, true}, {2, 0, true}}, 0, 1, 2), (ids{0, 1}));
  EXPECT_EQ(choose_batch({{0, 0, true}, {1, 0, false}, {2, 0, true}}, 0, 1, 2), (ids{0, 2}));
  EXPECT_EQ(choose_batch({{0, 0, true}, {1, 0, false}}, 0, 1, 2), std::nullopt);
}

TEST(TheChoiceOfABatch, WaitsForAGroupThatIsDue) { // CHOICE-1
  EXPECT_EQ(choose_batch({{0, 0, false}, {1, 1, true}, {2, 1, true}}, 1, 1, 2), std::nullopt);
  EXPECT_EQ(choose_batch({{0, 0, true}, {1, 1, false}, {2, 1, true}}, 1, 1, 2), (ids{0, 2}));
}

TEST(TheChoiceOfABatch, WaitsBeforeMoreAreLeftThanTheStepsToTheirDeadlineCanTake) { // CHOICE-1
  // eta 2, step 1: version 0 is due at step 2, which takes one batch of one. Two of it are open and neither is complete.
  EXPECT_EQ(choose_batch({{0, 0, false}, {1, 0, false}, {2, 1, true}}, 1, 2, 1), std::nullopt);
  EXPECT_EQ(choose_batch({{0, 0, false}, {1, 1, true}, {2, 1, true}}, 1, 2, 1), (ids{1}));
}

TEST(TheChoiceOfABatch, DoesWhatCanBeDoneWhereTheBoundWasBrokenBefore) { // CHOICE-3
  // eta made smaller between two lives: more are open than the steps can take in time.
  EXPECT_EQ(choose_batch({{0, 0, true}, {1, 0, true}, {2, 0, true}, {3, 0, true}}, 0, 1, 1), (ids{0}));
  EXPECT_EQ(choose_batch({{0, 0, true}, {1, 0, true}, {2, 1, true}}, 2, 1, 1), (ids{0}));
}

/// A run of the admission rule and this choice, with groups that complete in an order drawn at random: steps, or -1 at a group
/// that was overdue, -2 if it waits although everything is complete.
int play(std::uint64_t seed, std::uint64_t eta, std::size_t size, bool& waited) {
  random_stream random(derive_seed(seed, "batch choice"));
  constexpr std::uint64_t steps = 30;
  std::map<std::uint64_t, open_group> open;
  std::uint64_t admitted = 0, heard = 0;
  for (std::uint64_t step = 0; step < steps;) {
    const auto what = random.below(3);
    if (what == 0 && heard < step) ++heard; // the manager hears of versions late, but one after the other
    if (what == 1)
      for (const auto last = std::min(eta + heard + 1, steps) * size; admitted < last; ++admitted)
        open[admitted] = {admitted, heard, false};
    if (what == 2)
      for (auto& [id, group] : open) group.complete = group.complete || random.chance(id % 4 ? 0.2 : 0.02);
    std::vector<open_group> list;
    for (const auto& [id, group] : open) list.push_back(group);
    auto chosen = choose_batch(list, step, eta, size);
    if (!chosen) {
      std::size_t complete = 0;
      for (const auto& group : list) complete += group.complete;
      waited = waited || complete >= size;
      if (complete == list.size() && complete >= size) return -2;
      continue;
    }
    for (auto id : *chosen) open.erase(id);
    for (const auto& [id, group] : open)
      if (group.version + eta <= step) return -1;
    ++step;
  }
  return static_cast<int>(steps);
}

TEST(TheChoiceOfABatch, LeavesNoGroupOverdueInWhateverOrderGroupsComplete) { // CHOICE-1, CHOICE-3
  for (std::uint64_t eta : {0, 1, 2, 3, 8}) {
    bool waited = false;
    for (std::uint64_t seed = 0; seed < 100; ++seed)
      for (std::size_t size : {1, 2, 5})
        ASSERT_EQ(play(seed, eta, size, waited), 30)
            << "seed " << seed << ", eta " << eta << ", batches of " << size;
    EXPECT_TRUE(waited || eta == 0) << "the rule was never needed at eta " << eta;
  }
}

} // namespace
} // namespace troupe

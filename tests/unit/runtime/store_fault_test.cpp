#include "runtime/store.hpp"

#include "../folder.hpp"
#include "faulty_disk.hpp"
#include "runtime/base/random.hpp"
#include <gtest/gtest.h>

using namespace troupe;

namespace {

std::vector<new_record> numbered(std::uint64_t i) {
  return {{"s", "k", std::to_string(i), std::to_string(i) + std::string(700, 'x')}};
}

/// Every record of the store is one that was appended, in order and without a gap; returns how many.
std::size_t check(event_store& store) {
  auto rows = store.read_kind("k");
  EXPECT_TRUE(rows) << rows.error().message;
  if (!rows) return 0;
  for (std::size_t i = 0; i < rows->size(); ++i) {
    EXPECT_EQ(rows->at(i).key, std::to_string(i));
    EXPECT_EQ(rows->at(i).body, numbered(i)[0].body);
  }
  return rows->size();
}

} // namespace

TEST(AStoreOnAFailingDisk,
     LosesNothingAcknowledgedAtWhicheverWriteItFails) { // STORE-3, promise 10: every Nth write
  int failures = 0;
  for (int n = 1;; ++n) {
    test_folder folder;
    faulty_disk disk;
    auto store = event_store::open(folder.path / "run.db", system_clock());
    ASSERT_TRUE(store);
    disk.fail_after(n, n % 3); // one, two or three in a row
    std::uint64_t stored = 0;
    bool last_failed = false;
    for (int tries = 0; tries < 30; ++tries) {
      auto outcome = (*store)->append(numbered(stored));
      last_failed = !outcome;
      if (outcome) {
        EXPECT_EQ(outcome->at(0).seq, stored + 1) << "no gap after a failure at write " << n;
        ++stored;
      } else {
        EXPECT_TRUE(outcome.error().code == errc::disk_full || outcome.error().code == errc::io)
            << outcome.error().message;
        ++failures;
      }
    }
    EXPECT_GE(stored, 27u) << "it did not recover after write " << n;
    EXPECT_EQ(check(**store), stored);
    store->reset();
    auto again = event_store::open(folder.path / "run.db", system_clock());
    ASSERT_TRUE(again) << again.error().message;
    const auto kept = check(**again); // whose sync failed may be there all the same: the effect is unknown
    EXPECT_TRUE(kept == stored || (last_failed && kept == stored + 1))
        << kept << " of " << stored << " after write " << n;
    if (!disk.failed()) break;
    if (HasFailure()) FAIL() << "at write " << n;
  }
  EXPECT_GT(failures, 50);
}

TEST(AStoreAfterAPowerCut, HoldsEverythingAcknowledgedAtWhicheverWriteItCame) { // STORE-1, promise 5
  struct acknowledged {
    std::size_t operations, records;
  };
  std::vector<acknowledged> history;
  faulty_disk disk;
  test_folder live;
  {
    auto store = event_store::open(live.path / "run.db", system_clock());
    ASSERT_TRUE(store);
    history.push_back({disk.log.size(), 0});
    std::uint64_t next = 0;
    for (int group = 0; group < 40; ++group) {
      std::vector<std::vector<new_record>> records;
      for (int i = 0; i <= group % 4; ++i) records.push_back(numbered(next++));
      std::vector<append_request> requests(records.begin(), records.end());
      for (auto& result : (*store)->append_group(requests)) ASSERT_TRUE(result);
      history.push_back({disk.log.size(), next});
    }
  }
  const auto total = history.back().operations;
  int points = 0;
  for (std::size_t cut = history.front().operations; cut <= total; ++cut) {
    for (int luck = 0; luck < 3; ++luck, ++points) {
      random_stream random(derive_seed(cut, static_cast<std::uint64_t>(luck)));
      test_folder after;
      disk.replay(cut, after.path, [&](std::size_t, std::size_t bytes) -> std::size_t {
        if (luck == 0) return 0;     // nothing that was not synced has arrived
        if (luck == 1) return bytes; // everything has
        return random.chance(0.5) ? random.below(bytes + 1) : bytes; // some, torn, in any order
      });
      std::size_t promised = 0;
      for (auto& [operations, records] : history)
        if (operations <= cut) promised = records;
      auto store = event_store::open(after.path / "run.db", system_clock());
      ASSERT_TRUE(store) << "cut " << cut << ", luck " << luck << ": " << store.error().message;
      ASSERT_GE(check(**store), promised) << "cut " << cut << ", luck " << luck;
    }
  }
  EXPECT_GE(points, 500) << "promise 5";
}

// A disk that is full, or fails, from the n-th operation of a whole training run on, for a while.
#include "tests/crash/recorded_run.hpp"

#include <cerrno>
#include <gtest/gtest.h>

using namespace troupe;
using fakes::recorded_run;
using fakes::rollouts_given_up;
using fakes::run_on_disk;
using fakes::thorough;

namespace {

/// How many operations of a run can fail.
std::size_t operations_of_a_run() {
  test_folder live(fakes::quick_folder());
  recorded_disk disk(live.path);
  run_on_disk run(live.path, {.steps = recorded_run::steps, .disk = &disk});
  EXPECT_TRUE(run.run());
  return disk.attempts();
}

} // namespace

TEST(AFullDisk, AtAnyOperationOfARunIsWaitedFor) { // promise 10, STORE-3
  const recorded_run undisturbed(1);
  const auto total = operations_of_a_run();
  const std::size_t wanted = thorough() ? total : 150;
  std::size_t failed = 0;
  for (std::size_t i = 0; i < wanted; ++i) {
    const auto n = 1 + i * total / wanted;
    SCOPED_TRACE("operation " + std::to_string(n));
    test_folder live(fakes::quick_folder());
    recorded_disk disk(live.path);
    disk.fail_at(n, ENOSPC, 10 * (i % 4));
    run_on_disk run(live.path, {.steps = recorded_run::steps});
    EXPECT_EQ(wrong_with(run, undisturbed.steps, undisturbed.weights, undisturbed.hash, live.path), "");
    failed += disk.failed();
    if (HasFailure()) return;
  }
  EXPECT_EQ(failed, wanted);
}

TEST(AFailingDisk, AtAnyOperationOfARunEndsItWithAReasonOrNotAtAllAndItResumes) {
  const recorded_run undisturbed(1);
  const auto total = operations_of_a_run();
  const std::size_t wanted = thorough() ? total : 150;
  std::size_t ended = 0, went_on = 0, gave_up = 0;
  for (std::size_t i = 0; i < wanted; ++i) {
    const auto n = 1 + i * total / wanted;
    SCOPED_TRACE("operation " + std::to_string(n));
    test_folder live(fakes::quick_folder());
    recorded_disk disk(live.path);
    disk.fail_at(n, EIO, 3 * (i % 4));
    {
      run_on_disk run(live.path, {.steps = recorded_run::steps});
      ASSERT_TRUE(run.run()) << run.world.diagnose();
      EXPECT_TRUE(disk.failed());
      if (run.world.end_reason.empty()) {
        ++went_on;
        EXPECT_EQ(wrong_with(run, undisturbed.steps, undisturbed.weights, undisturbed.hash, live.path, true),
                  "");
        if (HasFailure()) return;
        gave_up += !rollouts_given_up(run.world.books()).empty();
        continue;
      }
      ++ended;
    }
    disk.fail_at(0, 0); // it is well again
    run_on_disk resumed(live.path, {.steps = recorded_run::steps});
    EXPECT_EQ(wrong_with(resumed, undisturbed.steps, undisturbed.weights, undisturbed.hash, live.path, true),
              "");
    if (HasFailure()) return;
  }
  std::printf("%zu runs went on after an I/O error (%zu gave up a rollout), %zu ended with its reason and "
              "were resumed\n",
              went_on, gave_up, ended);
}

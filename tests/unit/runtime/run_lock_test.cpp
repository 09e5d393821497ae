#include "runtime/run_lock.hpp"

#include "../folder.hpp"
#include <csignal>
#include <gtest/gtest.h>
#include <sys/wait.h>

using namespace troupe;

namespace {
/// A child that holds the lock until it is killed; returns when it has it.
pid_t hold(const std::filesystem::path& folder) {
  int ready[2];
  EXPECT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = run_lock::take(folder);
    const char outcome = lock ? 'y' : 'n';
    if (::write(ready[1], &outcome, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  ::close(ready[1]);
  char outcome = 0;
  EXPECT_EQ(::read(ready[0], &outcome, 1), 1);
  EXPECT_EQ(outcome, 'y');
  ::close(ready[0]);
  return child;
}
} // namespace

TEST(ARunLock, NamesItsHolderToASecondProcess) { // LOCK-1
  test_folder folder;
  const pid_t child = hold(folder.path);
  auto second = run_lock::take(folder.path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, errc::in_use);
  EXPECT_NE(second.error().message.find("in use by process " + std::to_string(child) + " on "),
            std::string::npos)
      << second.error().message;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(run_lock::take(folder.path)) << "LOCK-2: the death of its holder releases it";
}

TEST(ARunLock, IsHeldOnceInOneProcessAndMovesWithItsObject) { // LOCK-1
  test_folder folder;
  auto first = run_lock::take(folder.path);
  ASSERT_TRUE(first);
  EXPECT_EQ(run_lock::take(folder.path).error().code, errc::in_use);
  {
    run_lock moved = std::move(*first);
    EXPECT_EQ(run_lock::take(folder.path).error().code, errc::in_use);
  }
  EXPECT_TRUE(run_lock::take(folder.path));
}

TEST(ARunLock, NeedsItsFolder) { EXPECT_EQ(run_lock::take("/no/such/folder").error().code, errc::not_found); }

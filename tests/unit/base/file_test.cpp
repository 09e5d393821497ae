#include "runtime/base/file.hpp"

#include "../folder.hpp"
#include "../small_disk.hpp"
#include <csignal>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

using namespace troupe;

namespace {
std::size_t entries(const std::filesystem::path& folder) {
  std::size_t n = 0;
  for (auto& entry : std::filesystem::directory_iterator(folder)) n += entry.exists();
  return n;
}
} // namespace

TEST(AFile, IsWrittenAndReadAsBytes) {
  test_folder folder;
  const std::string bytes("a\0b\r\n\xff", 6);
  ASSERT_TRUE(write_file_atomically(folder.path / "x", bytes));
  EXPECT_EQ(*read_file(folder.path / "x"), bytes);
  ASSERT_TRUE(write_file_atomically(folder.path / "x", ""));
  EXPECT_EQ(*read_file(folder.path / "x"), "");
  EXPECT_EQ(entries(folder.path), 1u) << "nothing is left beside it";
}

TEST(AFile, IsReadUpToALimit) {
  test_folder folder;
  ASSERT_TRUE(write_file_atomically(folder.path / "x", std::string(1000, 'x')));
  EXPECT_TRUE(read_file(folder.path / "x", 1000));
  EXPECT_EQ(read_file(folder.path / "x", 999).error().code, errc::exhausted);
}

TEST(AFile, ThatIsMissingOrAFolderIsAnErrorWithItsName) {
  test_folder folder;
  auto missing = read_file(folder.path / "none");
  EXPECT_EQ(missing.error().code, errc::not_found);
  EXPECT_NE(missing.error().message.find("none"), std::string::npos);
  EXPECT_EQ(read_file(folder.path).error().code, errc::io);
  EXPECT_EQ(write_file_atomically(folder.path / "no" / "x", "").error().code, errc::not_found);
  EXPECT_EQ(sync_folder(folder.path / "no").error().code, errc::not_found);
}

TEST(AnAtomicWrite, LeavesTheOldFileWhenTheDiskIsFull) { // promise 10
  test_folder folder;
  small_disk disk(folder.path / "disk", 256 << 10);
  if (!disk.mounted) GTEST_SKIP() << disk.reason;
  const auto file = disk.path / "x";
  ASSERT_TRUE(write_file_atomically(file, "old"));
  disk.fill();
  const auto before = entries(disk.path);
  auto refused = write_file_atomically(file, std::string(100'000, 'n'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::disk_full);
  EXPECT_EQ(*read_file(file), "old");
  EXPECT_EQ(entries(disk.path), before) << "the part that was written is gone";
  disk.free();
  EXPECT_TRUE(write_file_atomically(file, std::string(100'000, 'n')));
  EXPECT_EQ(read_file(file)->size(), 100'000u);
}

TEST(AnAtomicWrite, LeavesTheOldFileAtTheFileSizeLimit) { // promise 10
  test_folder folder;
  const auto file = folder.path / "x";
  ASSERT_TRUE(write_file_atomically(file, "old"));
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10'000, 10'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto refused = write_file_atomically(file, std::string(100'000, 'n'));
    ::_exit(!refused && refused.error().code == errc::disk_full ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(*read_file(file), "old");
  EXPECT_EQ(entries(folder.path), 1u);
}

TEST(AFolder, IsMadeWithThoseAboveIt) {
  test_folder folder;
  EXPECT_TRUE(make_folders(folder.path / "a" / "b"));
  EXPECT_TRUE(make_folders(folder.path / "a" / "b")) << "it is there already";
  EXPECT_TRUE(std::filesystem::is_directory(folder.path / "a" / "b"));
  ASSERT_TRUE(write_file_atomically(folder.path / "file", "x"));
  EXPECT_FALSE(make_folders(folder.path / "file"));
  EXPECT_FALSE(make_folders(folder.path / "file" / "below"));
}

TEST(AnAtomicWrite, ShowsTheOldFileOrTheNewOneToAReaderAndToAKill) { // promise 5
  test_folder folder;
  const auto file = folder.path / "x";
  const std::string a(200'000, 'a'), b(200'000, 'b');
  ASSERT_TRUE(write_file_atomically(file, a));
  for (int round = 0; round < 10; ++round) {
    const pid_t child = ::fork();
    if (child == 0)
      for (;;)
        if (!write_file_atomically(file, b) || !write_file_atomically(file, a)) ::_exit(1);
    for (int i = 0; i < 20; ++i) {
      auto got = read_file(file);
      ASSERT_TRUE(got);
      ASSERT_TRUE(*got == a || *got == b);
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    auto left = read_file(file);
    ASSERT_TRUE(left && (*left == a || *left == b));
  }
}

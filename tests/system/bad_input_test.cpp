#include "tests/system/process.hpp"

#include "runtime/base/file.hpp"

#include <csignal>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;
using tests::small_run;

namespace {

/// Runs to its end; expects this exit code, each of these words in its message, and one message without a stack trace.
void expect_refusal(const scratch& place, std::vector<std::string> arguments, int code,
                    const std::vector<std::string>& words) {
  auto run = process::troupe(arguments, place.path());
  EXPECT_EQ(run.wait(60s), code) << run.err() << run.out();
  const auto said = run.err();
  for (const auto& word : words)
    EXPECT_NE(said.find(word), std::string::npos) << "\"" << word << "\" is not in: " << said;
  EXPECT_EQ(said.find("terminate called"), std::string::npos) << said;
  EXPECT_EQ(said.find(" in ./"), std::string::npos) << said;
}

std::string config_with(const scratch& place, const std::string& text) {
  const auto file = place.path() / "run.yaml";
  EXPECT_TRUE(write_file_atomically(file, text));
  return file.string();
}

} // namespace

TEST(AWrongConfig, IsRefusedWithTheNearestKey) {
  scratch place;
  expect_refusal(place, {"train", config_with(place, "rl:\n  stpes: 3\n")}, 2,
                 {"run.yaml:2", "rl.stpes", "rl.steps"});
  expect_refusal(place, {"train", config_with(place, "rl:\n  steps: many\n")}, 2, {"rl.steps", "many"});
  expect_refusal(place, {"train", config_with(place, "rl:\n  steps: -1\n")}, 2, {"rl.steps", "-1"});
  expect_refusal(place, {"train", config_with(place, "rl:\n  mode: sync\n  eta: 5\n")}, 2,
                 {"rl.mode", "rl.eta"});
  expect_refusal(place, {"train", config_with(place, ""), "rl.stepps=3"}, 2, {"rl.stepps", "rl.steps"});
  expect_refusal(place, {"train", "missing.yaml"}, 2, {"missing.yaml"});
  expect_refusal(place, {"train", config_with(place, "rl: [")}, 2, {"run.yaml"});
}

TEST(AWrongCorpusOrTaskFile, IsRefusedWithItsPlace) {
  scratch place;
  const auto config = config_with(place, "");
  write_file_atomically(place.path() / "tasks.jsonl",
                        "{\"id\":\"a\",\"question\":\"Q?\",\"answer\":\"A\",\"split\":\"train\"}\n");
  expect_refusal(place, {"train", config, "data.tasks=tasks.jsonl", "data.corpus=nowhere"}, 2, {"nowhere"});
  expect_refusal(place, {"train", config, "data.tasks=tasks.jsonl"}, 2, {"data.tasks", "data.corpus"});
  write_file_atomically(place.path() / "docs.jsonl", "{\"id\":\"1\",\"title\":\"T\"}\n");
  expect_refusal(place, {"train", config, "data.tasks=tasks.jsonl", "data.corpus=docs.jsonl"}, 2,
                 {"docs.jsonl", "1"});
  write_file_atomically(place.path() / "docs.jsonl", "{\"id\":\"1\",\"title\":\"T\",\"text\":\"words\"}\n");
  write_file_atomically(place.path() / "tasks.jsonl", "{\"id\":\"a\"}\n");
  expect_refusal(place, {"train", config, "data.tasks=tasks.jsonl", "data.corpus=docs.jsonl"}, 2,
                 {"tasks.jsonl", "question"});
}

TEST(AMissingRun, IsNamed) {
  scratch place;
  expect_refusal(place, {"inspect", "runs/none"}, 2, {"runs/none"});
  expect_refusal(place, {"report", "runs/none"}, 2, {"runs/none"});
  expect_refusal(place, {"eval", "runs/none"}, 2, {"runs/none"});
  expect_refusal(place, {"train", config_with(place, ""), "--resume"}, 2, {"nothing to resume"});
}

TEST(ARunFolder, BelongsToOneProcess) {
  scratch place;
  auto first = process::troupe(small_run({"rl.steps=20000"}), place.path());
  ASSERT_TRUE(first.says("\"kind\":\"warmup\"", 60s)) << first.err();
  auto words = small_run({"rl.steps=20000"});
  words.push_back("--resume");
  expect_refusal(place, words, 4, {"runs/small", std::to_string(first.pid())});
  EXPECT_TRUE(first.running());
}

TEST(AResumedRun, MayNotContradictTheStoredConfig) {
  scratch place;
  auto first = process::troupe(small_run({"rl.steps=20000"}), place.path());
  ASSERT_TRUE(first.says("\"kind\":\"warmup\"", 60s)) << first.err();
  first.signal(SIGINT);
  ASSERT_EQ(first.wait(10s), 3);
  auto words = small_run({"rl.steps=20000", "rl.group_size=5"});
  words.push_back("--resume");
  expect_refusal(place, words, 2, {"rl.group_size", "4", "5"});
}

TEST(ADamagedStoreOrCheckpoint, IsFoundAndNamed) {
  scratch place;
  auto first = process::troupe(small_run({"rl.steps=20000"}), place.path());
  ASSERT_TRUE(first.says("\"kind\":\"step\"", 120s)) << first.err();
  first.signal(SIGKILL);
  first.wait(10s);
  // Every checkpoint damaged: a clear end, no silent wrong weight.
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(place.path() / "runs/small/checkpoints"))
    if (entry.path().filename() == "model.safetensors") {
      auto bytes = *read_file(entry.path());
      bytes[bytes.size() / 2] ^= 1;
      write_file_atomically(entry.path(), bytes);
    }
  auto words = small_run({"rl.steps=20000"});
  words.push_back("--resume");
  expect_refusal(place, words, 1, {"model.safetensors"});
  expect_refusal(place, {"audit", "runs/small"}, 1, {"checkpoint_damaged", "model.safetensors"});
  std::filesystem::remove(place.path() / "runs/small/run.db-wal"); // it may hold all pages, good ones
  write_file_atomically(place.path() / "runs/small/run.db", std::string(10000, 'x'));
  expect_refusal(place, {"audit", "runs/small"}, 1, {"run.db"});
}

TEST(APortInUse, IsNamedAndTheRunEnds) {
  scratch place;
  auto first = process::troupe(small_run({"rl.steps=20000"}), place.path());
  ASSERT_TRUE(first.says("\"url\":", 60s)) << first.err();
  std::string port;
  for (const auto& r : tests::json_lines(first.out()))
    if (r.contains("url")) {
      const std::string url(r.at("url").get_string());
      port = url.substr(url.rfind(':') + 1);
    }
  expect_refusal(place, small_run({"rl.steps=20000", "control.port=" + port}), 4, {port});
  EXPECT_TRUE(first.running());
}

/// Writes a file until no byte more fits. (Asking for the free space and writing as much would race with the run's own writes.)
void fill(const std::filesystem::path& path) {
  std::ofstream out(path, std::ios::binary);
  const std::string block(64 * 1024, 'x');
  while (out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
  }
}

TEST(AFullDisk, PausesTheRunUntilThereIsSpaceAgain) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  scratch place;
  const auto disk = place.path() / "disk";
  std::filesystem::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=256m") != 0)
    GTEST_SKIP() << "cannot mount a tmpfs here";
  struct unmount {
    std::string at;
    ~unmount() { ::umount2(at.c_str(), MNT_DETACH); }
  } guard{disk.string()};
  auto run = process::troupe(small_run({"rl.steps=5000", "run.folder=" + disk.string()}), place.path());
  ASSERT_TRUE(run.says("\"kind\":\"step\"", 120s)) << run.out() << run.err();
  fill(disk / "ballast");
  EXPECT_TRUE(run.says("disk is full", 60s)) << run.out() << run.err();
  EXPECT_TRUE(run.running());
  const auto steps = [&] {
    std::size_t n = 0;
    for (const auto& r : tests::json_lines(run.out())) n += r.at("kind") == "step";
    return n;
  };
  const auto before = steps();
  std::filesystem::remove(disk / "ballast");
  for (int tries = 0; tries < 600 && steps() < before + 3; ++tries) std::this_thread::sleep_for(50ms);
  EXPECT_GE(steps(), before + 3) << "it did not go on: " << run.out().substr(0, 4000) << run.err();
  run.signal(SIGINT);
  EXPECT_EQ(run.wait(10s), 3);
  auto books = process::troupe({"report", (disk / "small").string(), "--json"}, place.path());
  EXPECT_EQ(books.wait(30s), 0) << books.err(); // 0: the balance holds
}

TEST(AWrongUseOfTheSimulator, IsRefusedWithWhatWasExpected) {
  scratch place;
  const std::string worlds = std::string(TROUPE_SOURCE_DIR) + "/configs/worlds";
  expect_refusal(place, {"sim", "kils", "--worlds", worlds}, 2, {"kils", "the nearest is kills"});
  expect_refusal(place, {"sim", "kills", "--seeds", "9..3", "--worlds", worlds}, 2, {"9..3", "empty"});
  expect_refusal(place, {"sim", "kills", "--seeds", "some", "--worlds", worlds}, 2, {"some", "A..B"});
  expect_refusal(place, {"sim", "kills", "--seeds", "1..", "--worlds", worlds}, 2, {"1..", "A..B"});
  expect_refusal(place, {"sim"}, 2, {"--list"});
  expect_refusal(place, {"sim", "kills", "--plant", "overtak", "--worlds", worlds}, 2,
                 {"overtak", "overtake"});
  expect_refusal(place, {"sim", "--list"}, 2, {"configs/worlds", "--worlds"});
  write_file_atomically(place.path() / "mine.yaml", "faults:\n  kil: 0.1\nchecks: [liveness]\n");
  expect_refusal(place, {"sim", "mine", "--worlds", "."}, 2, {"mine.yaml:2", "faults.kil", "faults.kill"});
}

#include "runtime/store.hpp"

#include "../folder.hpp"
#include "../small_disk.hpp"
#include "runtime/base/random.hpp"
#include <csignal>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

using namespace troupe;

namespace {

using store_ptr = std::unique_ptr<event_store>;

store_ptr open(const std::filesystem::path& file) {
  auto got = event_store::open(file, system_clock());
  EXPECT_TRUE(got) << got.error().message;
  return got ? std::move(*got) : nullptr;
}

std::vector<new_record> one(const std::string& key, std::string body = "body") {
  return {{"stream", "kind", key, std::move(body)}};
}

void run_sql(const std::filesystem::path& file, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

} // namespace

TEST(AStore, ReturnsWhatWasAppendedInTheOrderOfItsCommits) {
  auto store = open(":memory:");
  const std::string odd("a\0b\xff\xfe", 5);
  auto first = store->append(std::vector<new_record>{{"r/1", "turn", "t1", odd}, {"r/2", "turn", "t2", ""}});
  auto second = store->append(std::vector<new_record>{{"r/1", "verdict", "v1", "right"}});
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->at(0).seq, 1u);
  EXPECT_EQ(first->at(1).seq, 2u);
  EXPECT_EQ(second->at(0).seq, 3u);
  auto stream = store->read_stream("r/1");
  ASSERT_TRUE(stream);
  ASSERT_EQ(stream->size(), 2u);
  EXPECT_EQ(stream->at(0).body, odd);
  EXPECT_EQ(stream->at(1).kind, "verdict");
  auto kind = store->read_kind("turn", 1);
  ASSERT_TRUE(kind);
  ASSERT_EQ(kind->size(), 1u);
  EXPECT_EQ(kind->at(0).key, "t2");
  EXPECT_TRUE(store->read_stream("none")->empty());
  EXPECT_EQ(*store->count_kinds(),
            (std::vector<std::pair<std::string, std::uint64_t>>{{"turn", 2}, {"verdict", 1}}));
}

TEST(AStore, KeepsARecordOnceHoweverOftenItIsAppended) { // STORE-2
  auto store = open(":memory:");
  EXPECT_TRUE(store->append(one("k"))->at(0).fresh);
  auto again = store->append(one("k"));
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->at(0).fresh);
  EXPECT_EQ(again->at(0).seq, 1u);
  EXPECT_EQ(store->append(one("l"))->at(0).seq, 2u); // no gap
  EXPECT_EQ(store->read_kind("kind")->size(), 2u);
}

TEST(AStore, RefusesTheSameKeyWithOtherContentAndNamesIt) { // STORE-2
  auto store = open(":memory:");
  ASSERT_TRUE(store->append(one("k")));
  auto refused = store->append(
      std::vector<new_record>{{"stream", "kind", "new", "x"}, {"stream", "kind", "k", "other"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::conflict);
  EXPECT_NE(refused.error().message.find("\"k\""), std::string::npos);
  EXPECT_EQ(store->read_kind("kind")->size(), 1u) << "all or none";
  EXPECT_EQ(store->append(std::vector<new_record>{{"other stream", "kind", "k", "body"}}).error().code,
            errc::conflict);
  EXPECT_EQ(store->append(one("after"))->at(0).seq, 2u);
}

TEST(AGroupCommit, FailsOnlyTheRequestThatConflicts) { // STORE-2
  auto store = open(":memory:");
  const std::vector<std::vector<new_record>> requests = {
      one("a"), {{"s", "k", "b", "1"}, {"s", "k", "a", "not what a is"}}, one("c"), one("a"), {}};
  std::vector<append_request> spans(requests.begin(), requests.end());
  auto results = store->append_group(spans);
  ASSERT_EQ(results.size(), 5u);
  EXPECT_TRUE(results[0] && results[0]->at(0).fresh);
  EXPECT_FALSE(results[1]);
  EXPECT_EQ(results[2]->at(0).seq, 2u) << "the refused request leaves no gap";
  EXPECT_FALSE(results[3]->at(0).fresh);
  EXPECT_TRUE(results[4] && results[4]->empty());
  EXPECT_EQ(store->read_kind("kind")->size(), 2u);
  EXPECT_TRUE(store->read_kind("k")->empty());
}

TEST(AStore, IsTheSameAfterItIsOpenedAgain) { // STORE-1
  test_folder folder;
  const auto file = folder.path / "run.db";
  ASSERT_TRUE(open(file)->append(one("a", std::string(100'000, 'x'))));
  auto store = open(file);
  EXPECT_EQ(store->read_stream("stream")->at(0).body.size(), 100'000u);
  EXPECT_EQ(store->append(one("b"))->at(0).seq, 2u);
}

TEST(AStore, IsReadBesideARunningWriter) {
  test_folder folder;
  const auto file = folder.path / "run.db";
  auto writer = open(file);
  ASSERT_TRUE(writer->append(one("a")));
  auto reader = event_store::open_reader(file, system_clock());
  ASSERT_TRUE(reader) << reader.error().message;
  ASSERT_TRUE(writer->append(one("b")));
  EXPECT_EQ((*reader)->read_kind("kind")->size(), 2u);
  EXPECT_EQ((*reader)->append(one("c")).error().code, errc::invalid);
  EXPECT_EQ(event_store::open_reader(folder.path / "none.db", system_clock()).error().code, errc::not_found);
}

TEST(AStore, IsReadWhereNothingCanBeWritten) {
  test_folder folder;
  small_disk disk(folder.path / "a folder #1?%41", 1 << 20);
  if (!disk.mounted) GTEST_SKIP() << disk.reason;
  ASSERT_TRUE(open(disk.path / "run.db")->append(one("a")));
  ASSERT_TRUE(disk.make_read_only());
  auto reader = event_store::open_reader(disk.path / "run.db", system_clock());
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->read_kind("kind")->size(), 1u);
}

TEST(AStore, OfTheFirstSchemaIsReadAndContinued) { // it had its indexes on disk
  test_folder folder;
  const auto file = folder.path / "run.db";
  for (auto key : {"a", "b"}) ASSERT_TRUE(open(file)->append(one(key)));
  run_sql(file, "CREATE UNIQUE INDEX by_key ON event(key); CREATE INDEX event_by_stream ON event(stream);"
                "PRAGMA user_version = 1");
  auto store = open(file);
  EXPECT_FALSE(store->append(one("a"))->at(0).fresh);
  EXPECT_EQ(store->append(one("b", "other")).error().code, errc::conflict);
  EXPECT_EQ(store->append(one("c"))->at(0).seq, 3u);
  store.reset();
  EXPECT_EQ(open(file)->read_kind("kind")->size(), 3u);
}

TEST(AStore,
     SeesWhatAnEarlierLifeCommittedAfterItsOpening) { // STORE-2: a killed actor may be in its last append
  test_folder folder;
  auto earlier = open(folder.path / "run.db"), later = open(folder.path / "run.db");
  ASSERT_TRUE(earlier->append(one("a")));
  ASSERT_TRUE(earlier->append(one("b")));
  auto repeated = later->append(one("a"));
  ASSERT_TRUE(repeated) << repeated.error().message;
  EXPECT_FALSE(repeated->at(0).fresh);
  EXPECT_EQ(later->append(one("c"))->at(0).seq, 3u);
  EXPECT_EQ(later->append(one("b", "other")).error().code, errc::conflict);
  EXPECT_EQ(earlier->append(one("d"))->at(0).seq, 4u);
}

TEST(AStore, RefusesTwoRecordsOfOneKey) { // M11
  test_folder folder;
  const auto file = folder.path / "run.db";
  for (auto key : {"a", "b"}) ASSERT_TRUE(open(file)->append(one(key)));
  run_sql(file, "INSERT INTO event SELECT 3, stream, kind, key, body, wall_ms, crc FROM event WHERE seq = 1");
  auto damaged = event_store::open(file, system_clock());
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, errc::corrupt);
}

TEST(AStore, IsReadAfterItsWriterDied) {
  test_folder folder;
  const auto file = folder.path / "run.db";
  const pid_t child = ::fork();
  if (child == 0) {
    auto store = event_store::open(file, system_clock());
    ::_exit(store && (*store)->append(one("a")) ? 0 : 1); // the WAL stays as it is
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  auto reader = event_store::open_reader(file, system_clock());
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->read_kind("kind")->size(), 1u);
}

TEST(AStore, LosesNothingAcknowledgedWhenItsProcessIsKilledInMidCommit) { // STORE-1, promise 5
  test_folder folder;
  random_stream random(11);
  std::uint64_t next = 0;
  for (int round = 0; round < 12; ++round) {
    int acknowledged[2];
    ASSERT_EQ(::pipe(acknowledged), 0);
    const pid_t child = ::fork();
    if (child == 0) { // appends groups for ever and tells each number that came back
      auto store = event_store::open(folder.path / "run.db", system_clock());
      if (!store) ::_exit(3);
      for (std::uint64_t i = next;; i += 3) {
        std::vector<new_record> group;
        for (std::uint64_t j = i; j < i + 3; ++j)
          group.push_back({"s", "k", std::to_string(j), std::to_string(j) + std::string(1000, 'x')});
        if (!(*store)->append(group)) ::_exit(4);
        if (::write(acknowledged[1], &i, sizeof i) != sizeof i) ::_exit(5);
      }
    }
    ::close(acknowledged[1]);
    std::uint64_t last = 0, got = 0;
    const auto stop_after = 1 + random.below(20);
    while (got < stop_after && ::read(acknowledged[0], &last, sizeof last) == sizeof last) ++got;
    ::usleep(static_cast<useconds_t>(random.below(2000))); // somewhere in a later commit
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child gave up with " << WEXITSTATUS(status);
    while (::read(acknowledged[0], &last, sizeof last) == sizeof last) {
    }
    ::close(acknowledged[0]);
    auto store = open(folder.path / "run.db");
    auto kept = store->read_kind("k");
    ASSERT_TRUE(kept) << kept.error().message;
    ASSERT_GE(kept->size(), last + 3) << "round " << round;
    EXPECT_EQ(kept->size() % 3, 0u) << "a group is there in part";
    for (std::size_t i = 0; i < kept->size(); ++i) EXPECT_EQ(kept->at(i).key, std::to_string(i));
    next = kept->size();
  }
}

TEST(AStore, DetectsAChangedRowAndNamesIt) { // M11
  test_folder folder;
  const auto file = folder.path / "run.db";
  for (const std::string column : {"stream", "kind", "key", "body", "wall_ms", "crc"}) {
    std::filesystem::remove(file);
    {
      auto store = open(file);
      for (auto key : {"a", "b", "c"}) ASSERT_TRUE(store->append(one(key)));
    }
    const std::string value = column == "wall_ms" || column == "crc" ? column + " + 1"
                              : column == "body"                     ? "x'00'"
                                                                     : "'x'";
    run_sql(file, "UPDATE event SET " + column + " = " + value + " WHERE seq = 2");
    auto damaged = event_store::open(file, system_clock());
    ASSERT_FALSE(damaged) << column;
    EXPECT_EQ(damaged.error().code, errc::corrupt);
    EXPECT_NE(damaged.error().message.find("record 2 fails its checksum"), std::string::npos)
        << damaged.error().message;
  }
}

TEST(AStore, DetectsAMissingRow) { // M11
  test_folder folder;
  const auto file = folder.path / "run.db";
  {
    auto store = open(file);
    for (auto key : {"a", "b", "c"}) ASSERT_TRUE(store->append(one(key)));
  }
  run_sql(file, "DELETE FROM event WHERE seq = 2");
  auto damaged = event_store::open(file, system_clock());
  ASSERT_FALSE(damaged);
  EXPECT_NE(damaged.error().message.find("record 2 is missing"), std::string::npos)
      << damaged.error().message;
}

TEST(AStore, NeverReturnsOtherContentAfterAFlippedByte) { // promise 11
  test_folder folder;
  const auto file = folder.path / "run.db";
  {
    auto store = open(file);
    for (int i = 0; i < 20; ++i)
      ASSERT_TRUE(store->append(one("key " + std::to_string(i), std::string(200, 'x'))));
  }
  std::string good;
  {
    std::ifstream in(file, std::ios::binary);
    good.assign(std::istreambuf_iterator<char>(in), {});
  }
  random_stream random(3);
  int refused = 0, unharmed = 0;
  for (int round = 0; round < 400; ++round) {
    auto bytes = good;
    const auto at = random.below(bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ (1 + random.below(255)));
    std::filesystem::remove(folder.path / "run.db-wal");
    std::filesystem::remove(folder.path / "run.db-shm");
    std::ofstream(file, std::ios::binary) << bytes;
    auto store = event_store::open(file, system_clock());
    if (!store) {
      ++refused;
      continue;
    }
    auto rows =
        (*store)->read_kind("kind"); // a flip in a free page, or in an index that the reading does not need
    if (!rows || rows->size() != 20) {
      ++refused;
      continue;
    }
    for (int i = 0; i < 20; ++i) ASSERT_EQ(rows->at(i).key, "key " + std::to_string(i)) << "byte " << at;
    ++unharmed;
  }
  EXPECT_GT(refused, 30);
  EXPECT_GT(unharmed, 30);
}

TEST(AStore, RefusesAFileOfAnotherKindOrVersion) {
  test_folder folder;
  const auto file = folder.path / "run.db";
  std::ofstream(file) << std::string(5000, 'x');
  EXPECT_EQ(event_store::open(file, system_clock()).error().code, errc::corrupt);
  std::filesystem::remove(file);
  run_sql(file, "CREATE TABLE t(x)");
  EXPECT_EQ(event_store::open(file, system_clock()).error().code, errc::corrupt);
  std::filesystem::remove(file);
  open(file);
  run_sql(file, "PRAGMA user_version = 7");
  auto newer = event_store::open(file, system_clock());
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, errc::version);
  EXPECT_NE(newer.error().message.find("found schema version 7, expected 2"), std::string::npos);
  EXPECT_EQ(event_store::open(folder.path / "no" / "such.db", system_clock()).error().code, errc::io);
}

TEST(AStore, PausesOnAFullDiskAndGoesOnWhenSpaceReturns) { // STORE-3, promise 10
  test_folder folder;
  small_disk disk(folder.path / "disk", 1 << 20);
  if (!disk.mounted) GTEST_SKIP() << disk.reason;
  auto store = open(disk.path / "run.db");
  std::uint64_t stored = 0;
  const auto append_one = [&] { return store->append(one(std::to_string(stored), std::string(1000, 'x'))); };
  for (; stored < 20; ++stored) ASSERT_TRUE(append_one());
  disk.fill();
  for (;; ++stored) {
    auto outcome = append_one();
    if (outcome) continue; // into what the files had already
    EXPECT_EQ(outcome.error().code, errc::disk_full) << outcome.error().message;
    break;
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(append_one().error().code, errc::disk_full);
  EXPECT_EQ(store->read_kind("kind")->size(), stored) << "it can be read while it is full";
  disk.free();
  for (int i = 0; i < 20; ++i, ++stored) {
    auto outcome = append_one();
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_EQ(outcome->at(0).seq, stored + 1);
  }
  store.reset();
  EXPECT_EQ(open(disk.path / "run.db")->read_kind("kind")->size(), stored);
}

TEST(AStore, TakesTheFileSizeLimitForAFullDisk) { // STORE-3, promise 10
  test_folder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    auto store = event_store::open(folder.path / "run.db", system_clock());
    if (!store) ::_exit(3);
    const rlimit limit{256 << 10, 256 << 10};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 1000; ++i)
      if (auto outcome = (*store)->append(one(std::to_string(i), std::string(4000, 'x'))); !outcome)
        ::_exit(outcome.error().code == errc::disk_full ? 0 : 4);
    ::_exit(5);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_FALSE(open(folder.path / "run.db")->read_kind("kind")->empty());
}

/// An opener whose first life has stored "a" and "b" and is over.
class AFileStore : public ::testing::Test {
protected:
  void SetUp() override {
    auto first = opener();
    ASSERT_TRUE(first && (*first)->append(one("a")) && (*first)->append(one("b")));
  }
  test_folder folder;
  const std::filesystem::path file = folder.path / "run.db";
  const store_opener opener = file_store(file, system_clock());
};

TEST_F(AFileStore, ReadsAtItsNextOpeningWhatIsNewer) {
  ASSERT_TRUE(open(file)->append(one("c"))); // somebody else, meanwhile
  auto second = opener();
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ((*second)->read_stream("stream")->size(), 3u);
  EXPECT_FALSE((*second)->append(one("a"))->at(0).fresh);
  EXPECT_EQ((*second)->append(one("d"))->at(0).seq, 4u);
  EXPECT_EQ((*second)->position()->chain, open(file)->position()->chain);
}

TEST_F(AFileStore, NoticesThatItsFileIsAnother) {
  std::filesystem::remove(file);
  ASSERT_TRUE(open(file)->append(one("x")) && open(file)->append(one("y")) && open(file)->append(one("z")));
  auto second = opener();
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ((*second)->read_stream("stream")->at(0).key, "x");
  EXPECT_TRUE((*second)->append(one("a"))->at(0).fresh);
  EXPECT_EQ((*second)->position()->chain, open(file)->position()->chain);
}

TEST(AMemoryStore, OutlivesWhoeverOpensIt) {
  auto opener = memory_store(system_clock());
  {
    auto first = opener();
    ASSERT_TRUE(first && (*first)->append(one("a")));
  }
  auto second = opener();
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->read_kind("kind")->size(), 1u);
  EXPECT_FALSE((*second)->append(one("a"))->at(0).fresh);
}

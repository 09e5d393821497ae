#include "cli/tensorboard.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/hash.hpp"
#include "tests/unit/cli/sample_run.hpp"
#include "tests/unit/tools/folder.hpp"
#include <bit>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace troupe;

namespace {

struct hand_clock final : clock {
  duration now() const override { return {}; }
  duration wall() const override { return std::chrono::milliseconds(1'700'000'000'500); }
};

std::uint64_t little(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i < size; ++i)
    out |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return out;
}

/// Reads records as TensorBoard does, CRCs checked.
std::vector<std::string> records_of(std::string_view bytes) {
  const auto crc_is = [](std::uint64_t masked, std::string_view of) {
    const auto rotated = static_cast<std::uint32_t>(masked) - 0xA282EAD8u;
    return ((rotated >> 17) | (rotated << 15)) == crc32c(of);
  };
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const auto size = little(bytes, 0, 8);
    EXPECT_TRUE(crc_is(little(bytes, 8, 4), bytes.substr(0, 8)));
    out.emplace_back(bytes.substr(12, size));
    EXPECT_TRUE(crc_is(little(bytes, 12 + size, 4), out.back()));
    bytes.remove_prefix(16 + size);
  }
  return out;
}

} // namespace

TEST(ATfRecord, IsFramedAsInTensorFlow) {
  // What the RecordWriter of the PyPI package tensorboard 2.21.0 writes for b"abc".
  const auto record = tf_record("abc");
  EXPECT_EQ(record, std::string("\x03\0\0\0\0\0\0\0\xb0\x99\x49\x0e"
                                "abc\x6e\x57\xf1\x21",
                                19));
  EXPECT_EQ(records_of(record), std::vector<std::string>{"abc"});
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u); // RFC 3720, B.4
}

TEST(AnEventFile, BeginsWithItsVersion) {
  temporary_folder folder;
  hand_clock time;
  auto writer = event_writer::create(folder.path(), time);
  ASSERT_TRUE(writer) << writer.error().message;
  EXPECT_THAT(writer->file().filename().string(),
              testing::MatchesRegex("events\\.out\\.tfevents\\.1700000000\\..+\\.[0-9]+\\.0"));
  const auto records = records_of(*read_file(writer->file()));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].substr(0, 1), "\x09"); // wall_time
  EXPECT_EQ(std::bit_cast<double>(little(records[0], 1, 8)), 1'700'000'000.5);
  EXPECT_EQ(records[0].substr(9), std::string("\x10\x00\x1a\x0d", 4) + "brain.Event:2");
}

TEST(AnEventFile, HoldsAScalarAsAProtobufEvent) {
  temporary_folder folder;
  hand_clock time;
  auto writer = event_writer::create(folder.path(), time);
  ASSERT_TRUE(writer->scalar("a/b", 0.5, 300));
  const auto records = records_of(*read_file(writer->file()));
  ASSERT_EQ(records.size(), 2u);
  // The bytes of the same Event by tensorboard 2.21.0's own protobuf classes. Step 300 = AC 02; summary:
  // value: tag "a/b", simple_value 0.5f
  EXPECT_EQ(records[1].substr(9), std::string("\x10\xAC\x02\x2A\x0C\x0A\x0A\x0A\x03"
                                              "a/b\x15\x00\x00\x00\x3f",
                                              17));
}

TEST(AnEventFile, HoldsEveryNumberOfTheRecordsOfARun) {
  temporary_folder folder;
  hand_clock time;
  auto writer = event_writer::create(folder.path(), time);
  for (const auto& record : sample_records()) ASSERT_TRUE(writer->feed(record));
  const auto bytes = *read_file(writer->file());
  EXPECT_EQ(records_of(bytes).size(), 1u + 3 + (5 + 1) + 1 + 2 * 8 + 1 + (5 + 2) + 1);
  for (const auto* tag : {"warmup/loss", "rl/reward_mean", "rl/max_logprob_gap", "heldout/pass_at_1",
                          "heldout/pass_at_1_1_hop", "heldout/pass_at_1_10_hops", "heldout_greedy/pass_at_1"})
    EXPECT_NE(bytes.find(tag), std::string::npos) << tag;
}

TEST(AnEventFile, IsNewForEachWriterSoThatAResumedRunAddsToIt) {
  temporary_folder folder;
  hand_clock time;
  auto first = event_writer::create(folder.path(), time), second = event_writer::create(folder.path(), time);
  EXPECT_NE(first->file(), second->file());
  auto moved = std::move(*first);
  EXPECT_TRUE(moved.scalar("x", 1, 1));
  EXPECT_EQ(event_writer::create(folder.path() / "none", time).error().code, errc::not_found);
}

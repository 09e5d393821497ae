#include "runtime/base/hash.hpp"

#include "runtime/base/random.hpp"
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace troupe;

TEST(Sha256, GivesTheKnownAnswersOfFips180) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OfAFileIsThatOfItsBytes) {
  const auto path = std::filesystem::temp_directory_path() / ("hash_test." + std::to_string(::getpid()));
  const std::string bytes(3'000'001, '\x5a'); // more than two of the pieces it is read in
  std::ofstream(path, std::ios::binary) << bytes;
  auto got = sha256_file(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, sha256(bytes));
  EXPECT_EQ(sha256_file(path).error().code, errc::not_found);
}

TEST(Crc32c, GivesTheKnownAnswersOfRfc3720) {
  for (auto sum : {crc32c, crc32c_portable}) {
    EXPECT_EQ(sum("123456789", 0), 0xE3069283u);
    EXPECT_EQ(sum(std::string(32, '\0'), 0), 0x8A9136AAu);
    EXPECT_EQ(sum(std::string(32, '\xff'), 0), 0x62A8AB43u);
    std::string rising;
    for (char c = 0; c < 32; ++c) rising += c;
    EXPECT_EQ(sum(rising, 0), 0x46DD794Eu);
    EXPECT_EQ(sum("", 0), 0u);
  }
}

TEST(Crc32c, IsTheSameByInstructionAndByTableAndInParts) {
  random_stream random(7);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(random.below(300), '\0');
    for (char& c : bytes) c = static_cast<char>(random.below(256));
    const auto cut = random.below(bytes.size() + 1);
    const auto whole = crc32c(bytes);
    EXPECT_EQ(whole, crc32c_portable(bytes)) << "round " << round;
    EXPECT_EQ(whole,
              crc32c(std::string_view(bytes).substr(cut), crc32c(std::string_view(bytes).substr(0, cut))));
  }
}

TEST(Crc32c, DetectsEveryFlipOfASingleBit) { // M11
  std::string bytes = "one record of the store, with a few bytes in it";
  const auto good = crc32c(bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(crc32c(bytes), good) << "bit " << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  }
}

#include "runtime/base/json.hpp"

#include "runtime/base/random.hpp"
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

using namespace troupe;

namespace {
std::string error_of(std::string_view text) {
  auto got = json::parse(text);
  if (got) return "no error";
  EXPECT_EQ(got.error().code, errc::invalid);
  return got.error().message;
}
} // namespace

TEST(Json, ReadsEveryKindOfValue) {
  auto got = json::parse(R"({"a": [1, -2, 2.5, true, null, "x\u00e9\n"], "b": {"c": 18446744073709551615}})");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(json::dump(*got),
            "{\"a\":[1,-2,2.5,true,null,\"x\xC3\xA9\\n\"],\"b\":{\"c\":18446744073709551615}}");
}

TEST(Json, RefusesWhatRfc8259Refuses) { // promise 12
  for (auto bad : {"",
                   " ",
                   "{",
                   "[1,]",
                   "{\"a\":1,}",
                   "{a:1}",
                   "'x'",
                   "01",
                   "1 2",
                   "nul",
                   "NaN",
                   "Infinity",
                   "\"\x01\"",
                   "[1]x",
                   "\"\\ud800\"",
                   "\"\xff\"",
                   "\xef\xbb\xbf"
                   "x",
                   "+1",
                   ".5",
                   "1.",
                   "--1"})
    EXPECT_NE(error_of(bad), "no error") << bad;
}

TEST(Json, RefusesAKeyThatIsGivenTwice) {
  EXPECT_EQ(error_of(R"({"a":{"b":1,"b":2}})"), "JSON key given twice: \"b\"");
  EXPECT_NE(error_of(R"({"b":1,"\u0062":2})"), "no error") << "the same key, written in two ways";
}

TEST(Json, BoundsItsDepth) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(json::parse(nested(64)));
  EXPECT_NE(error_of(nested(66)), "no error");
  EXPECT_NE(error_of(std::string(100'000, '[')), "no error");
  EXPECT_NE(error_of(nested(100'000)), "no error");
}

TEST(Json, BringsEveryNumberBackExactly) {
  random_stream random(17);
  for (int round = 0; round < 20'000; ++round) {
    const std::uint64_t bits = random();
    double number;
    std::memcpy(&number, &bits, sizeof number);
    if (!std::isfinite(number)) continue;
    auto back = json::parse(json::dump(json::value(number)));
    ASSERT_TRUE(back) << back.error().message;
    const auto again = back->to_number<double>();
    ASSERT_EQ(std::memcmp(&again, &number, sizeof number), 0) << number;
  }
}

TEST(Json, NeverThrowsOnArbitraryBytes) { // promise 12
  random_stream random(23);
  const std::string good = R"({"name":"search","arguments":{"queries":["a","b\n"],"k":[1,2.5e3,null,true]}})";
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (auto n = random.below(5); n > 0; --n) {
      const auto at = random.below(bytes.size());
      if (random.chance(0.5))
        bytes[at] = static_cast<char>(random.below(256));
      else
        bytes.erase(at, random.below(4));
      if (bytes.empty()) bytes = " ";
    }
    auto got = json::parse(bytes);
    if (!got) continue;
    ++accepted;
    EXPECT_EQ(*json::parse(json::dump(*got)), *got);
  }
  EXPECT_GT(accepted, 1000);
}

TEST(AField, IsReadByTypeAndTheErrorNamesKeyAndTypes) {
  const auto from = json::parse(R"({"s":"x","i":3,"d":2.5,"a":[1],"o":{"k":1},"n":null})")->as_object();
  EXPECT_EQ(*json::string_at(from, "s"), "x");
  EXPECT_EQ(*json::int_at(from, "i"), 3);
  EXPECT_EQ(*json::number_at(from, "i"), 3.0);
  EXPECT_EQ(*json::number_at(from, "d"), 2.5);
  EXPECT_EQ((*json::array_at(from, "a"))->size(), 1u);
  EXPECT_EQ((*json::object_at(from, "o"))->size(), 1u);
  EXPECT_EQ(json::string_at(from, "i").error().message, "\"i\" is a number, expected a string");
  EXPECT_EQ(json::int_at(from, "d").error().message, "\"d\" is a number, expected a whole number");
  EXPECT_EQ(json::object_at(from, "a").error().message, "\"a\" is a list, expected an object");
  EXPECT_EQ(json::string_at(from, "o").error().message, "\"o\" is an object, expected a string");
  EXPECT_EQ(json::array_at(from, "n").error().message, "\"n\" is null, expected a list");
  EXPECT_EQ(json::string_at(from, "none").error().message, "\"none\" is missing, expected a string");
}

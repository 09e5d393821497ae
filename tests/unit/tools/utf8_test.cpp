#include "tools/utf8.hpp"

#include "runtime/base/json.hpp"

#include <gtest/gtest.h>

using namespace troupe;

TEST(RepairedUtf8, LeavesTextAsItIs) {
  for (const std::string text : {"", "plain", "k\u00fc\u4e2d\U0001F600", "a\nb\tc"})
    EXPECT_EQ(repaired_utf8(text), text);
}

TEST(RepairedUtf8, ReplacesEveryByteThatIsNoText) {
  EXPECT_EQ(repaired_utf8("a\xff"
                          "b"),
            "a\uFFFDb");
  EXPECT_EQ(repaired_utf8("\xe4\xb8"), "\uFFFD\uFFFD"); // cut inside of a character
  EXPECT_EQ(repaired_utf8("\xc0\xaf"), "\uFFFD\uFFFD"); // overlong
}

TEST(RepairedUtf8, MakesARecordThatCanBeReadAgain) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const json::object body{{"text", repaired_utf8(bytes)}};
  EXPECT_TRUE(json::parse(json::dump(body)));
  const json::object raw{{"text", bytes}};
  EXPECT_FALSE(json::parse(json::dump(raw))) << "or nothing needed repair";
}

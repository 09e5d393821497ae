#include "runtime/base/error.hpp"

#include <gtest/gtest.h>
#include <set>

using namespace troupe;

TEST(AnErrorCode, HasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(errc::internal); ++code)
    names.insert(to_string(static_cast<errc>(code)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(errc::internal) + 1);
  EXPECT_EQ(to_string(errc::disk_full), "disk_full");
}

TEST(AnError, ReadsAsItsCodeAndItsSentence) {
  EXPECT_EQ(to_string(error{errc::invalid, "found 3, expected an even number"}),
            "invalid: found 3, expected an even number");
}

TEST(AnExpected, PassesAnotherCallsErrorOn) {
  const auto inner = []() -> expected<int> { return fail(errc::not_found, "x"); };
  const auto outer = [&]() -> expected<std::string> {
    auto got = inner();
    if (!got) return fail(got.error());
    return std::to_string(*got);
  };
  ASSERT_FALSE(outer());
  EXPECT_EQ(outer().error(), (error{errc::not_found, "x"}));
}

#include "tests/unit/scripts/shell.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace troupe::test;
using testing::EndsWith;
using testing::HasSubstr;

namespace {

/// What test_summary.py says of CTest's entries and of the results of one GoogleTest program, test_a.
shell_result summary(const std::string& entries, const std::string& cases) {
  test_folder folder;
  write(folder.path / "ctest.junit", "<testsuite>" + entries + "</testsuite>");
  if (!cases.empty())
    write(folder.path / "test_a.xml", "<testsuites><testsuite>" + cases + "</testsuite></testsuites>");
  return shell("python3 " TROUPE_SOURCE_DIR "/scripts/test_summary.py " +
               (folder.path / "ctest.junit").string() + " " + folder.path.string());
}

std::string entry(const std::string& name, const std::string& status) {
  return "<testcase name=\"" + name + "\" status=\"" + status + "\"/>";
}
std::string passed(const std::string& name) {
  return "<testcase classname=\"A\" name=\"" + name + "\" status=\"run\" result=\"completed\"/>";
}

TEST(TheSummary, AddsUpTheCasesOfProgramsAndTheOtherEntries) {
  const auto result =
      summary(entry("test_a", "run") + entry("tree_arrows", "run"), passed("One") + passed("Two"));
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output, "3 passed, 0 failed, 0 skipped\n");
}

TEST(TheSummary, ShowsWhyATestWasSkipped) {
  const auto result =
      summary(entry("test_a", "run"),
              passed("One") + "<testcase classname=\"A\" name=\"Two\" status=\"run\" "
                              "result=\"skipped\"><skipped message=\"no GPU here&#x0A;\"/></testcase>");
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.output, HasSubstr("skipped: A.Two: no GPU here\n"));
  EXPECT_THAT(result.output, EndsWith("1 passed, 0 failed, 1 skipped\n"));
}

TEST(TheSummary, CountsAFailedCaseOnceAndItsProgramNotAtAll) {
  const auto result = summary(entry("test_a", "fail"),
                              passed("One") + "<testcase classname=\"A\" name=\"Two\" "
                                              "status=\"run\"><failure message=\"1 is not 2\"/></testcase>");
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.output, HasSubstr("failed: A.Two: 1 is not 2\n"));
  EXPECT_THAT(result.output, EndsWith("1 passed, 1 failed, 0 skipped\n"));
}

TEST(TheSummary, CountsAProgramThatCrashed) {
  EXPECT_THAT(summary(entry("test_a", "fail"), "").output, EndsWith("0 passed, 1 failed, 0 skipped\n"));
  // or that fails after its cases, for example because of a leak
  EXPECT_THAT(summary(entry("test_a", "fail"), passed("One")).output,
              EndsWith("1 passed, 1 failed, 0 skipped\n"));
  // or whose program is not there
  EXPECT_THAT(summary(entry("test_a", "notrun"), "").output, EndsWith("0 passed, 1 failed, 0 skipped\n"));
}

TEST(TheSummary, IsNoSuccessWhenNothingRan) { EXPECT_EQ(summary("", "").status, 2); }

} // namespace

#include "gpu/learner.hpp"

#include "gpu/torch_plugin.hpp"
#include "tests/unit/folder.hpp"
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>

namespace troupe {

namespace {

/// $TROUPE_PLUGIN_DIR for one test.
class plugin_folder {
public:
  plugin_folder() { setenv("TROUPE_PLUGIN_DIR", folder.path.c_str(), 1); }
  ~plugin_folder() { unsetenv("TROUPE_PLUGIN_DIR"); }
  std::filesystem::path file() const { return folder.path / torch_plugin_file; }
  test_folder folder;
};

error why_not() {
  const auto made = make_learner({}, {});
  return made ? error{errc::internal, "a learner was made"} : made.error();
}

} // namespace

TEST(ALearnerWithoutItsPlugin, SaysWhereItLookedAndWhatToDo) {
  plugin_folder empty;
  const auto e = why_not();
  EXPECT_EQ(e.code, errc::not_found);
  EXPECT_NE(e.message.find(empty.folder.path.string()), std::string::npos) << e.message;
  EXPECT_NE(e.message.find("troupe_torch"), std::string::npos) << e.message;
}

TEST(ALearnerWithABrokenPlugin, SaysThatItCannotBeLoaded) {
  plugin_folder broken;
  std::ofstream(broken.file()) << "this is no shared object";
  const auto e = why_not();
  EXPECT_EQ(e.code, errc::not_found);
  EXPECT_NE(e.message.find("cannot be loaded"), std::string::npos) << e.message;
  EXPECT_NE(e.message.find("./troupe setup"), std::string::npos) << e.message;
}

TEST(ALearnerWithAnotherLibraryUnderThePluginsName, RefusesIt) {
  const std::filesystem::path library = "/lib/x86_64-linux-gnu/libz.so.1";
  if (!std::filesystem::exists(library)) GTEST_SKIP() << "no library to borrow";
  plugin_folder other;
  std::filesystem::copy_file(library, other.file());
  const auto e = why_not();
  EXPECT_EQ(e.code, errc::version);
  EXPECT_NE(e.message.find("not a LibTorch plugin"), std::string::npos) << e.message;
}

} // namespace troupe

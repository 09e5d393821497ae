#include "gpu/engine_device.hpp"

#include "engine_support.hpp"
#include "tests/unit/folder.hpp"
#include <cstdlib>

namespace troupe {
namespace {

/// Without the LibTorch plugin for one test, as on a machine that was never set up for it.
struct no_plugin {
  no_plugin() { setenv("TROUPE_PLUGIN_DIR", folder.path.c_str(), 1); }
  ~no_plugin() { unsetenv("TROUPE_PLUGIN_DIR"); }
  test_folder folder;
};

} // namespace

TEST(TheDeviceOfAnEngine, IsNamedAsInAConfiguration) {
  for (const char* name : {"cpu", "cuda", "auto"}) EXPECT_EQ(name_of(*engine_device_by_name(name)), name);
  const auto unknown = engine_device_by_name("tpu");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("tpu"), std::string::npos);
}

TEST(TheDeviceOfAnEngine, IsTheCpuWhereNothingElseIsFoundAndTheChoiceIsFree) {
  no_plugin here;
  EXPECT_EQ(*resolve(engine_device::cpu), engine_device::cpu);
  EXPECT_EQ(*resolve(engine_device::automatic), engine_device::cpu);
  const auto weights = lively(tiny(), 3);
  auto engine = make_engine(weights->config, {.device = engine_device::automatic});
  ASSERT_TRUE(engine) << to_string(engine.error());
  (*engine)->set_weights(weights, 1, kv_policy::keep);
  const auto request = ask(1, {1, 2, 3}, 10);
  ASSERT_TRUE((*engine)->submit(request));
  expect_same(run_all(**engine).at(1), alone(weights, {request}).front());
}

TEST(TheDeviceOfAnEngine, IsAnErrorThatSaysWhatWasFoundWhereItIsNotThere) {
  no_plugin here;
  const auto made = make_engine(tiny(), {.device = engine_device::cuda});
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("cuda, found none: "), std::string::npos) << made.error().message;
  EXPECT_NE(made.error().message.find(here.folder.path.string()), std::string::npos) << made.error().message;
}

TEST(TheMemoryOfAnEngine, IsThatOfThePlaceWhereItComputes) {
  const auto host = memory_of(engine_device::cpu);
  ASSERT_TRUE(host);
  EXPECT_GT(host->free, 0);
  EXPECT_LE(host->free, host->total);
  const model_config config{.num_hidden_layers = 10, .num_key_value_heads = 2, .head_dim = 64};
  EXPECT_EQ(kv_bytes(config, {}, 1600), kv_bytes(config, 1600));
  EXPECT_EQ(kv_bytes(config, {.device = engine_device::cuda}, 1600), 1600LL * 10 * 2 * 2 * 64 * 4);
  EXPECT_EQ(kv_bytes(config, {.mode = arithmetic::fast, .device = engine_device::cuda}, 1600),
            1600LL * 10 * 2 * 2 * 64 * 2);
}

} // namespace troupe

#include "actors/tree.hpp"
#include "runtime/simulation.hpp"
#include "sim/context.hpp"
#include "sim/fake_policy.hpp"

#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

/// The real tree, with what a person may ask it.
class ARolloutThatIsGivenUp : public ::testing::Test {
protected:
  void begin(double poisonous) {
    drawn_world drawn;
    drawn.eta = 0;
    drawn.steps = 2;
    drawn.groups = 2;
    drawn.eval_every = 0;
    drawn.questions = 0;
    drawn.tool_latency = 2; // the group stays open for a while
    drawn.calls = 0.8;
    poisonous_ = poisonous;
    ctx_ = simulated_context(drawn, sim_.time(), sim_.threads());
    ctx_->parts.open_store = disk_;
    ctx_->parts.save_checkpoint = [this](const checkpoint& what) -> expected<void> {
      saved_.push_back(what);
      return {};
    };
    ctx_->parts.load_checkpoint = [this]() -> expected<checkpoint> {
      if (saved_.empty()) return fail(errc::not_found, "none");
      return saved_.back();
    };
    ctx_->parts.make_engine = [this, calls = drawn.calls]() -> expected<std::unique_ptr<engine_core>> {
      return scripted_engine({poisonous_, calls}, [](std::uint64_t, float) {});
    };
    ctx_->on_end = [this](std::optional<error> why) { ended_ = !why; };
    auto options = tree_options(ctx_);
    options.time = &sim_.time();
    sim_.own(spawn_supervisor(sim_.system(), options, tree_children(ctx_)));
  }
  ~ARolloutThatIsGivenUp() override {
    if (ctx_) ctx_->names->clear();
  }
  std::vector<record> on_disk(const std::string& kind) { return *(*disk_())->read_kind(kind); }
  std::vector<record> of(const rollout_key& key) { return *(*disk_())->read_stream(stream_of(key)); }
  actor_ref named(const std::string& name) { return ctx_->names->find(name); }
  void run_to_the_end() {
    for (int i = 0; i < 1000 && !ended_; ++i) sim_.run_for(std::chrono::seconds(1));
    EXPECT_TRUE(ended_);
    const auto sheet = sim_.ask<balance>(named(names::replay), balance_request{});
    ASSERT_TRUE(sheet);
    EXPECT_TRUE(sheet->holds());
  }

  simulation sim_{5};
  store_opener disk_ = memory_store(sim_.time());
  std::shared_ptr<run_context> ctx_;
  std::vector<checkpoint> saved_;
  double poisonous_ = 0;
  bool ended_ = false;
};

TEST_F(ARolloutThatIsGivenUp, CanBeTriedAgainWhileItsGroupIsOpenAndNotLater) { // promise 16
  begin(0.35);
  for (int i = 0; i < 1000 && on_disk("failed").empty(); ++i) sim_.run_for(std::chrono::milliseconds(10));
  ASSERT_FALSE(on_disk("failed").empty());
  const auto key = *parse_rollout_stream(on_disk("failed")[0].stream);
  auto retry = [&](const rollout_key& which) {
    return sim_.ask<done>(named(names::manager), retry_rollout{which});
  };
  const rollout_key healthy{purpose::train, key.group, 99};
  EXPECT_EQ(retry(healthy).error().code, errc::not_found);
  EXPECT_EQ(retry({purpose::train, 77, 0}).error().code, errc::not_found);

  ASSERT_TRUE(retry(key)) << "as long as nothing has changed, it fails again, and is listed again";
  sim_.run_for(std::chrono::seconds(1));
  std::size_t failures = 0;
  for (const auto& r : on_disk("failed")) failures += r.stream == stream_of(key);
  EXPECT_EQ(failures, 2u);

  poisonous_ = 0; // mended
  kill(named(names::engine));
  sim_.run_for(std::chrono::milliseconds(100));
  const auto again = retry(key);
  ASSERT_TRUE(again) << to_string(again.error());
  run_to_the_end();
  const auto records = of(key);
  EXPECT_EQ(records.back().kind, "verdict");
  EXPECT_FALSE(failure_in(records).failed);
  EXPECT_EQ(retry(key).error().code, errc::conflict) << "it is trained on";
}

TEST_F(ARolloutThatIsGivenUp, KeepsTheVerdictThatItHasInTheStore) { // REP-6
  begin(0);
  std::optional<rollout_key> struck;
  sim_.observe([&](const delivery&) {
    if (struck || on_disk("verdict").empty()) return;
    struck = *parse_rollout_stream(on_disk("verdict")[0].stream);
    kill(named(stream_of(*struck))); // before it has said so
    tell(named(names::replay), rollout_failed{*struck, {errc::exhausted, "quarantined"}});
  });
  run_to_the_end();
  ASSERT_TRUE(struck);
  EXPECT_TRUE(on_disk("failed").empty());
  for (const auto& r : on_disk("consumption"))
    EXPECT_EQ(r.body.find("quarantined"), std::string::npos) << r.body;
}

TEST_F(ARolloutThatIsGivenUp, HasFailedWhereItHasNoVerdict) {
  begin(0);
  while (on_disk("turn").empty()) sim_.run_for(std::chrono::milliseconds(1));
  const auto key = *parse_rollout_stream(on_disk("turn")[0].stream);
  ASSERT_TRUE(sim_.ask<done>(named(names::replay), rollout_failed{key, {errc::exhausted, "quarantined"}}));
  run_to_the_end();
  EXPECT_TRUE(failure_in(of(key)).failed);
  EXPECT_NE(on_disk("consumption")[0].body.find("[\"" + key.text() + "\",\"quarantined\"]"),
            std::string::npos);
}

} // namespace
} // namespace troupe::sim

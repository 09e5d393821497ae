#include "actors/rollout/rollout_actor.hpp"
#include "actors/tree.hpp"
#include "runtime/simulation.hpp"
#include "sim/context.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <set>

namespace troupe::sim {
namespace {

/// How a killed rollout goes on.
enum class after_a_kill : std::uint8_t {
  resume,       ///< as Troupe does it: from its last committed turn
  from_scratch, ///< as one does it without a journal of turns: sampled anew, as another attempt
};

struct begin_all {};

struct outcome {
  std::vector<trajectory_ptr> left;
  std::size_t failed = 0;
  bool done = false;
};

/// Keeps `slots` rollouts running until as many as wanted have ended, and takes what they leave.
class driver {
public:
  static constexpr const char* name = "driver";
  driver(self_ptr self, context_ptr ctx, std::shared_ptr<outcome> out, after_a_kill mode, std::uint64_t first,
         std::uint64_t count)
      : self_(self),
        ctx_(std::move(ctx)),
        out_(std::move(out)),
        mode_(mode),
        next_(first),
        end_(first + count) {}
  behavior make_behavior() {
    return {
        [this](const begin_all&) { fill(); },
        [this](const rollout_finished& end) {
          if (running_.erase(end.what->key().group) == 0) return;
          out_->left.push_back(end.what);
          fill();
        },
        [this](const rollout_failed& end) {
          out_->failed += running_.erase(end.key.group);
          fill();
        },
        [this](const tick&) { look_for_dead(); },
        resume_handler(),
    };
  }

private:
  static constexpr std::size_t slots = 50;
  void fill() {
    for (; running_.size() < slots && next_ < end_; ++next_) start({purpose::train, next_, 0});
    out_->done = running_.empty();
  }
  void start(const rollout_key& key) {
    running_[key.group] = key.attempt;
    const auto job = std::make_shared<const rollout_job>(
        rollout_job{key, shared_task(ctx_, ctx_->train_task(key.group)), {}, 0, names::replay});
    if (mode_ == after_a_kill::resume) {
      start_rollout(self_, ctx_, *job,
                    [this, key](const error&) { out_->failed += running_.erase(key.group); });
      return;
    }
    child_spec spec;
    spec.id = stream_of(key);
    spec.start = [ctx = ctx_, job](self_ptr above) { return spawn_state<rollout_actor>(*above, ctx, job); };
    spec.restart = restart_kind::temporary;
    ask_named(
        self_, ctx_, names::rollouts, std::chrono::seconds(60), start_child{std::move(spec)},
        [this, key](const actor_ref&) { started_.insert(key); }, [](const error&) {});
  }
  void look_for_dead() {
    if (mode_ == after_a_kill::resume) return;
    for (auto& [group, attempt] : running_) {
      const rollout_key key{purpose::train, group, attempt};
      if (!started_.contains(key) || ctx_->names->find(stream_of(key))) continue;
      started_.erase(key);
      start({purpose::train, group, attempt + 1});
    }
  }

  self_ptr self_;
  context_ptr ctx_;
  std::shared_ptr<outcome> out_;
  after_a_kill mode_;
  std::uint64_t next_, end_;
  std::map<std::uint64_t, std::uint32_t> running_; ///< groups, and the attempt
  std::set<rollout_key> started_;
};

struct lengths {
  std::vector<double> turns, tokens;
  std::map<std::uint64_t, double> by_group; ///< turns
  std::size_t failed = 0, kills = 0;
};

/// `chance`: of each living rollout to be killed within 10 ms.
lengths simulate(after_a_kill mode, double chance, std::uint64_t first, std::uint64_t count) {
  drawn_world drawn;
  drawn.turns = 60;
  drawn.calls = 0.88; // so long that a kill has something to bias
  drawn.tool_latency = 0.05;
  drawn.tool_tail = 3;
  simulation sim(derive_seed(first, "lengths"));
  auto ctx = simulated_context(drawn, sim.time(), sim.threads());
  ctx->rules.context = 20'000;
  ctx->config.rollout.journal_interval = 0; // by turns alone
  ctx->parts.open_store = memory_store(sim.time());
  ctx->board->publish(std::make_shared<const model_weights>(), 0, 0);
  auto options = tree_options(ctx);
  options.time = &sim.time();
  sim.own(spawn_supervisor(sim.system(), options, evaluation_children(ctx)));
  auto seen = std::make_shared<outcome>();
  auto who = sim.own(spawn_state<driver>(sim.system(), ctx, seen, mode, first, count));
  ctx->names->set(names::replay, who); // hears of what is quarantined, too
  tell(who, begin_all{});
  random_stream draw(derive_seed(first, "kills"));
  lengths out;
  for (int step = 0; step < 200'000 && !seen->done; ++step) {
    sim.run_for(std::chrono::milliseconds(10));
    tell(who, tick{});
    for (const auto& name : ctx->names->names())
      if (name.starts_with("rollout/") && draw.chance(chance)) {
        kill(ctx->names->find(name));
        ++out.kills;
      }
  }
  EXPECT_TRUE(seen->done);
  std::sort(seen->left.begin(), seen->left.end(),
            [](const auto& a, const auto& b) { return a->key().group < b->key().group; });
  for (const auto& t : seen->left) {
    out.turns.push_back(t->state().turns());
    out.by_group[t->key().group] = out.turns.back();
    out.tokens.push_back(static_cast<double>(t->sampled_tokens()));
  }
  out.failed = seen->failed;
  ctx->names->clear();
  return out;
}

/// Two samples, Kolmogorov and Smirnov: how likely so great a distance is by chance if both are of one distribution (asymptotic; with
/// ties, as here, rather too high: Numerical Recipes 14.3).
double ks_p_value(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  const auto n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  double distance = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double x = std::min(a[i], b[j]);
    while (i < a.size() && a[i] <= x) ++i;
    while (j < b.size() && b[j] <= x) ++j;
    distance = std::max(distance, std::abs(static_cast<double>(i) / n - static_cast<double>(j) / m));
  }
  const double root = std::sqrt(n * m / (n + m)), lambda = (root + 0.12 + 0.11 / root) * distance;
  double sum = 0;
  for (int j = 1; j <= 100; ++j) sum += (j % 2 ? 2 : -2) * std::exp(-2.0 * j * j * lambda * lambda);
  return lambda < 0.2 ? 1 : std::clamp(sum, 0.0, 1.0);
}

double mean(const std::vector<double>& of) {
  double sum = 0;
  for (double x : of) sum += x;
  return sum / static_cast<double>(of.size());
}

TEST(TheTest, OfKolmogorovAndSmirnovTellsApartWhatDiffersAndNothingElse) {
  random_stream draw(1);
  std::vector<double> one, same, longer;
  for (int i = 0; i < 1000; ++i) {
    one.push_back(draw.normal());
    same.push_back(draw.normal());
    longer.push_back(draw.normal() + 0.4);
  }
  EXPECT_GT(ks_p_value(one, same), 0.05);
  EXPECT_LT(ks_p_value(one, longer), 1e-4);
  EXPECT_NEAR(ks_p_value({1, 2, 3, 4, 5}, {3.5, 6, 7, 8, 9}), 0.0361, 0.0002); // D = 0.8
}

TEST(RolloutsThatAreKilled, AreAsLongAsTheyWouldHaveBeenIfTheyResumeAndShorterIfTheyStartFromScratch) {
  constexpr std::uint64_t n = 1200;
  constexpr double chance = 0.01; // about one kill in 15 turns
  const auto calm = simulate(after_a_kill::resume, 0, 0, n);
  const auto other = simulate(after_a_kill::resume, 0, 10 * n, n);
  const auto resumed = simulate(after_a_kill::resume, chance, 0, n);
  const auto others = simulate(after_a_kill::resume, chance, 20 * n, n);
  const auto naive = simulate(after_a_kill::from_scratch, chance, 0, n);
  std::printf(
      "turns (tokens): undisturbed %.2f (%.0f), killed and resumed %.2f (%.0f), from scratch %.2f (%.0f)\n"
      "p(same distribution): two undisturbed %.2g, resumed %.2g, from scratch %.2g; %zu and %zu kills\n",
      mean(calm.turns), mean(calm.tokens), mean(resumed.turns), mean(resumed.tokens), mean(naive.turns),
      mean(naive.tokens), ks_p_value(calm.turns, other.turns), ks_p_value(calm.turns, others.turns),
      ks_p_value(calm.turns, naive.turns), resumed.kills, naive.kills);
  EXPECT_GT(resumed.kills, n / 4);
  EXPECT_GT(ks_p_value(calm.turns, other.turns), 0.05);
  EXPECT_GT(ks_p_value(calm.turns, others.turns), 0.05); // other rollouts, of the same distribution
  EXPECT_GT(ks_p_value(calm.tokens, others.tokens), 0.05);
  EXPECT_LT(ks_p_value(calm.turns, naive.turns), 1e-6);
  EXPECT_LT(ks_p_value(calm.tokens, naive.tokens), 1e-6);
  EXPECT_LT(mean(naive.turns), 0.85 * mean(calm.turns));
  EXPECT_LT(resumed.failed, n / 200); // three deaths within one turn: taken for poison
  for (const auto& [group, turns] : resumed.by_group)
    EXPECT_EQ(turns, calm.by_group.at(group)) << "group " << group; // not only alike: the same
}

} // namespace
} // namespace troupe::sim

TROUPE_LOCAL_TYPE(troupe::sim::begin_all)

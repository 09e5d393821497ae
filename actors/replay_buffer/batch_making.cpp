#include "actors/replay_buffer/batch_making.hpp"

#include "gpu/advantage.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>

namespace troupe {

batch_ptr make_batch(const run_context& ctx, std::uint64_t step, std::uint64_t lineage,
                     const std::vector<std::uint64_t>& groups,
                     const std::vector<const ended_group*>& members) {
  const auto& rl = ctx.config.rl;
  const auto eta = rl.mode == "sync" ? 0 : static_cast<std::uint64_t>(rl.eta);
  const auto& recipe = *recipe_by_name(rl.loss);
  auto out = std::make_shared<batch>();
  out->step = step;
  out->lineage = lineage;
  out->groups = groups;
  double reward_sum = 0, turns = 0, calls = 0, staleness_sum = 0, length = 0;
  std::uint64_t n = 0, correct = 0, malformed = 0, skipped = 0, dropped = 0, tokens = 0, beyond = 0,
                undone = 0, staleness_max = 0;
  json::object errors;
  for (std::size_t place = 0; place < groups.size(); ++place) {
    const auto id = groups[place];
    const auto& group = *members[place];
    for (const auto& [attempt, why] : group.failed)
      out->retired.emplace_back(rollout_key{purpose::train, id, attempt}.text(),
                                why.code == errc::exhausted   ? "quarantined"
                                : why.code == errc::uncertain ? "effect_unknown"
                                                              : "failed");
    std::vector<double> rewards;
    std::vector<rl_sample> samples;
    if (planted("failure_is_zero")) rewards.resize(group.failed.size(), 0.0);
    for (const auto& [attempt, t] : group.finished) {
      const auto& v = *t->judged();
      rewards.push_back(v.reward);
      ++n;
      reward_sum += v.reward;
      correct += v.correct;
      turns += t->state().turns();
      calls += t->state().calls();
      length += static_cast<double>(t->tokens().size());
      if (t->state().end() != episode_end::answered) ++malformed;
      if (auto kind = t->state().error(); kind != format_error::none) {
        auto& count = errors[to_string(kind)];
        count = (count.is_int64() ? count.get_int64() : 0) + 1;
      }
      auto& sample = samples.emplace_back(t->sample(rl.gamma));
      for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
        if (!sample.mask[i]) continue;
        if (sample.versions[i] > step && !planted("undone_tokens_count")) { // REP-5
          probe<"replay: a token of weights that were undone">();
          sample.mask[i] = 0;
          ++undone;
          continue;
        }
        const auto age = step - std::min(step, sample.versions[i]);
        if (age > eta) { // REP-1
          sample.mask[i] = 0;
          ++beyond;
          continue;
        }
        staleness_sum += static_cast<double>(age);
        staleness_max = std::max(staleness_max, age);
        ++tokens;
      }
    }
    const auto [lowest, highest] = std::minmax_element(rewards.begin(), rewards.end());
    std::string reason;
    if (rewards.size() < 2)
      reason = "no_baseline";
    else if (*lowest == *highest)
      reason = "no_signal";
    if (!reason.empty()) {
      ++skipped;
      for (const auto& [attempt, t] : group.finished) out->retired.emplace_back(t->key().text(), reason);
      continue;
    }
    const auto unfinished = rewards.size() - group.finished.size();
    for (std::size_t m = 0; m < samples.size(); ++m) { // after the question whether there is a signal (DAPO)
      const auto sampled = std::count(samples[m].mask.begin(), samples[m].mask.end(), std::uint8_t{1});
      rewards[unfinished + m] += overlong_penalty(sampled, rl.overlong_tokens, rl.overlong_cushion);
      samples[m].reward = rewards[unfinished + m];
    }
    const auto baselines = recipe.leave_one_out ? *leave_one_out_baselines(rewards) : mean_baselines(rewards);
    const double spread = recipe.scaled ? deviation(rewards) : 1;
    std::size_t member = 0;
    for (const auto& [attempt, t] : group.finished) {
      auto& sample = samples[member];
      const double baseline = baselines[unfinished + member];
      ++member;
      const double advantage = sample.reward - baseline;
      if (!keep_negative(advantage, rl.negative_keep, ctx.seed_for("negatives"), t->key().text())) {
        ++dropped;
        out->retired.emplace_back(t->key().text(), "negative_dropped");
        continue;
      }
      if (std::find(sample.mask.begin(), sample.mask.end(), 1) == sample.mask.end()) {
        const auto& versions = sample.versions;
        const bool newer = std::any_of(versions.begin(), versions.end(), [&](auto v) { return v > step; });
        out->retired.emplace_back(t->key().text(), newer ? "undone" : "stale");
        continue;
      }
      sample.baseline = baseline;
      sample.scale = spread > 0 ? 1 / spread : 1;
      out->samples.push_back(std::move(sample));
    }
  }
  const double count = std::max<double>(1, static_cast<double>(n));
  out->statistics =
      json::object{{"reward_mean", reward_sum / count},
                   {"correct_rate", static_cast<double>(correct) / count},
                   {"turns_mean", turns / count},
                   {"tool_calls_mean", calls / count},
                   {"length_mean", length / count},
                   {"format_error_rate", static_cast<double>(malformed) / count},
                   {"format_errors", std::move(errors)},
                   {"staleness_mean", tokens ? staleness_sum / static_cast<double>(tokens) : 0.0},
                   {"staleness_max", staleness_max},
                   {"tokens_beyond_eta", beyond},
                   {"tokens_undone", undone},
                   {"groups_skipped", skipped},
                   {"negatives_dropped", dropped},
                   {"trained", out->samples.size()}};
  return out;
}

} // namespace troupe

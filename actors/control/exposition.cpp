#include "actors/control/exposition.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// The actors count for themselves; the series follows. A count that began again (a restarted engine) goes on from where it was.
void follow(const metric_counter& series, double count) { series.add(std::max(0.0, count - series.value())); }

double number(const json::object& from, std::string_view key) {
  return json::number_at(from, key).value_or(0);
}

} // namespace

std::string exposition(metrics_registry& m, const json::object& state, const balance& sheet,
                       const engine_status& engine) {
  m.gauge("troupe_policy_version", "Policy version that rollouts use.").set(number(state, "step"));
  m.gauge("troupe_rl_steps", "Steps that the run will take.").set(number(state, "steps"));
  follow(m.counter("troupe_actor_restarts_total", "Actors that were started again."),
         number(state, "restarts"));

  follow(m.counter("troupe_rollouts_accepted_total", "Rollouts admitted."),
         static_cast<double>(sheet.accepted));
  follow(m.counter("troupe_rollouts_trained_total", "Rollouts trained on."),
         static_cast<double>(sheet.trained));
  m.gauge("troupe_rollouts_pending", "Rollouts that are running or wait for their batch.")
      .set(static_cast<double>(sheet.pending));
  m.gauge("troupe_rollouts_parked", "Rollouts that are parked.").set(static_cast<double>(sheet.parked));
  for (const auto& [reason, count] : sheet.retired)
    follow(m.counter("troupe_rollouts_retired_total", "Rollouts that left the run untrained, by reason.",
                     {{"reason", reason}}),
           static_cast<double>(count));

  follow(m.counter("troupe_engine_decoded_tokens_total", "Tokens sampled."),
         static_cast<double>(engine.core.decoded_tokens));
  follow(m.counter("troupe_engine_prefilled_tokens_total", "Prompt tokens computed."),
         static_cast<double>(engine.core.prefilled_tokens));
  follow(m.counter("troupe_engine_reused_tokens_total", "Prompt tokens found in the KV cache."),
         static_cast<double>(engine.core.reused_tokens));
  follow(m.counter("troupe_engine_busy_seconds_total", "Time the engine computed."), engine.busy_seconds);
  follow(m.counter("troupe_journal_bytes_total", "Bytes of turns in progress written to the store."),
         static_cast<double>(engine.journal_bytes));
  follow(m.counter("troupe_journal_kept_tokens_total",
                   "Tokens of interrupted turns that were not sampled again."),
         static_cast<double>(engine.journal_kept));
  m.gauge("troupe_engine_kv_tokens", "Tokens in the KV cache.")
      .set(static_cast<double>(engine.core.kv_tokens));
  m.gauge("troupe_engine_active_sequences", "Sequences in the decode batch.").set(engine.core.active);
  m.gauge("troupe_engine_waiting_sequences", "Requests that wait for a place in the batch.")
      .set(engine.core.waiting);

  const auto* last = state.if_contains("last_step");
  if (!last || !last->is_object() || last->get_object().empty()) return m.text();
  const auto& step = last->get_object();
  m.gauge("troupe_reward_mean", "Mean reward of the last batch.").set(number(step, "reward_mean"));
  m.gauge("troupe_staleness_max", "Largest age of a trained token in the last batch, in versions.")
      .set(number(step, "staleness_max"));
  m.gauge("troupe_max_logprob_gap", "Largest gap between engine and learner logprobs in the last batch.")
      .set(number(step, "max_logprob_gap"));
  m.gauge("troupe_format_error_ratio", "Malformed or unfinished rollouts in the last batch.")
      .set(number(step, "format_error_rate"));
  return m.text();
}

} // namespace troupe

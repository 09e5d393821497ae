#include "actors/control/exposition.hpp"

#include <cstdio>

namespace troupe {

namespace {

class exposition_text {
public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    text_ += "# HELP " + std::string(name) + " " + std::string(help) + "\n# TYPE " + std::string(name) + " " + std::string(type) + "\n";
    name_ = name;
  }
  void sample(double value, std::string_view labels = {}) {
    char number[40];
    std::snprintf(number, sizeof number, "%.17g", value);
    text_ += name_ + (labels.empty() ? "" : "{" + std::string(labels) + "}") + " " + number + "\n";
  }
  void single(std::string_view name, std::string_view type, std::string_view help, double value) {
    family(name, type, help);
    sample(value);
  }
  std::string take() { return std::move(text_); }

private:
  std::string text_, name_;
};

} // namespace

std::string exposition(const json::object& state, const balance& sheet, const engine_status& engine) {
  exposition_text out;
  auto number = [](const json::object& from, std::string_view key) { return json::number_at(from, key).value_or(0); };
  out.single("troupe_policy_version", "gauge", "Policy version that rollouts use.", number(state, "step"));
  out.single("troupe_rl_steps", "gauge", "Steps that the run will take.", number(state, "steps"));
  out.single("troupe_actor_restarts_total", "counter", "Actors that were started again.", number(state, "restarts"));
  out.single("troupe_rollouts_accepted_total", "counter", "Rollouts admitted.", static_cast<double>(sheet.accepted));
  out.single("troupe_rollouts_trained_total", "counter", "Rollouts trained on.", static_cast<double>(sheet.trained));
  out.single("troupe_rollouts_pending", "gauge", "Rollouts that are running or wait for their batch.", static_cast<double>(sheet.pending));
  out.single("troupe_rollouts_parked", "gauge", "Rollouts that are parked.", static_cast<double>(sheet.parked));
  out.family("troupe_rollouts_retired_total", "counter", "Rollouts that left the run untrained, by reason.");
  for (const auto& [reason, count] : sheet.retired) out.sample(static_cast<double>(count), "reason=\"" + reason + "\"");
  out.single("troupe_engine_decoded_tokens_total", "counter", "Tokens sampled.", static_cast<double>(engine.core.decoded_tokens));
  out.single("troupe_engine_prefilled_tokens_total", "counter", "Prompt tokens computed.", static_cast<double>(engine.core.prefilled_tokens));
  out.single("troupe_engine_reused_tokens_total", "counter", "Prompt tokens found in the KV cache.", static_cast<double>(engine.core.reused_tokens));
  out.single("troupe_engine_kv_tokens", "gauge", "Tokens in the KV cache.", static_cast<double>(engine.core.kv_tokens));
  out.single("troupe_engine_active_sequences", "gauge", "Sequences in the decode batch.", engine.core.active);
  out.single("troupe_engine_waiting_sequences", "gauge", "Requests that wait for a place in the batch.", engine.core.waiting);
  out.single("troupe_engine_busy_seconds_total", "counter", "Time the engine computed.", engine.busy_seconds);
  if (const auto* last = state.if_contains("last_step"); last && last->is_object()) {
    const auto& step = last->get_object();
    out.single("troupe_reward_mean", "gauge", "Mean reward of the last batch.", number(step, "reward_mean"));
    out.single("troupe_staleness_max", "gauge", "Largest age of a trained token in the last batch, in versions.", number(step, "staleness_max"));
    out.single("troupe_max_logprob_gap", "gauge", "Largest gap between engine and learner logprobs in the last batch.", number(step, "max_logprob_gap"));
    out.single("troupe_format_error_ratio", "gauge", "Malformed or unfinished rollouts in the last batch.", number(step, "format_error_rate"));
  }
  return out.take();
}

} // namespace troupe

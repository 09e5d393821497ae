#pragma once

#include "actors/ids.hpp"
#include "gpu/engine_core.hpp"
#include "gpu/learner.hpp"
#include "gym/chat_format.hpp"
#include "gym/reward.hpp"
#include "gym/transcript.hpp"
#include "runtime/store.hpp"
#include <optional>

namespace troupe {

/// What every trajectory of a run needs to be read: the same for all of them.
struct trajectory_rules {
  std::shared_ptr<const tokenizer> words;
  std::shared_ptr<const chat_format> format; ///< null: the own one
  std::vector<token> ends; ///< after any of these a turn is over; none: the own format's end token
  episode_limits limits;
  std::vector<call_schema> tools;
  int max_turn_tokens = 40;
  int context = 384; ///< tokens

  std::vector<token> turn_ends() const;
};

/// One attempt at a task: the episode (text) and its exact token ids, kept together. Built live by the rollout actor and built
/// again from the store's records by whoever needs it (a restarted rollout, a restarted replay buffer, inspect): the same calls
/// in the same order, so both are equal.
///   TRAJ-1  tokens() = prompt + sampled + observation tokens, exactly as the engine saw and sampled them: nothing is ever
///           tokenised twice.
///   TRAJ-2  mask is 1 on sampled tokens and nowhere else; each carries the logprob and version it was sampled with.
class trajectory {
public:
  /// `rules` outlive it.
  trajectory(rollout_key key, std::shared_ptr<const task> what, const trajectory_rules& rules,
             double temperature);
  trajectory(rollout_key key, task what, const trajectory_rules& rules, double temperature);

  // -- what is to be done next
  enum class need : std::uint8_t { turn, tools, verdict };
  need next() const;
  std::uint64_t next_turn() const { return turns_.size(); } ///< number of the turn to generate, from 0
  int room() const;                                         ///< tokens that the next turn may have
  const std::vector<tool_call>& calls() const;              ///< of the last turn, until observed

  // -- what happened
  void add_turn(const generated& turn);
  void add_observations(const std::vector<observation>& results);
  void set_verdict(verdict what) { verdict_ = std::move(what); }

  // -- properties
  const rollout_key& key() const { return key_; }
  const episode& state() const { return episode_; }
  const std::vector<token>& tokens() const { return tokens_; }
  const std::optional<verdict>& judged() const { return verdict_; }
  std::uint64_t oldest_version() const; ///< of its sampled tokens; the largest number if there is none
  std::int64_t sampled_tokens() const;
  double temperature() const { return temperature_; }
  int truncated_turns() const { return cut_turns_; }

  /// The learner's view; `reward` and turn weights from the verdict. Precondition: judged.
  rl_sample sample(double gamma) const;
  /// For people.
  transcript as_transcript() const;

private:
  struct turn_record {
    std::size_t begin = 0, end = 0; ///< of its sampled tokens
    std::string observed;
  };
  struct version_run {
    std::uint64_t version = 0;
    std::size_t tokens = 0; ///< in a row that it sampled
  };
  /// What the policy wrote, without its end token; and whether it wrote that.
  std::pair<std::string, bool> text_of(const turn_record& turn) const;
  std::vector<std::uint64_t> sampled_versions() const; ///< of each sampled token
  void append(const std::vector<token>& more);

  rollout_key key_;
  const trajectory_rules* rules_;
  episode episode_;
  double temperature_;
  std::vector<token> tokens_;
  std::vector<float>
      logprobs_; ///< of the sampled tokens, turn by turn: thousands wait for long, with as little as it takes
  std::vector<version_run> versions_; ///< of the same
  std::vector<turn_record> turns_;
  std::optional<verdict> verdict_;
  int cut_turns_ = 0;
};

// -- the records of a trajectory in the store
/// Where there are several nodes, a record says by which placement it came (`"placed": [epoch, number]`).
new_record placed_by(const write_fence& who, new_record what);
new_record turn_record_of(const rollout_key& key, std::uint64_t turn, const generated& what);
new_record tool_record_of(const rollout_key& key, std::uint64_t turn, std::size_t call,
                          const observation& what);
/// Of a tool_record_of. Errors: corrupt.
expected<observation> observation_of(const record& tool_result);
/// It waits parked after so many committed turns (the last one's tools may still run).
new_record park_record_of(const rollout_key& key, std::uint64_t turns);
/// `retries`: how often a person has had it tried again before.
new_record failed_record_of(const rollout_key& key, std::uint64_t retries, const error& why);
new_record retry_record_of(const rollout_key& key, std::uint64_t retries);
/// What a rollout's records say of its failure.
struct failure_state {
  std::optional<error> failed; ///< and not tried again since
  std::uint64_t retries = 0;
};
failure_state failure_in(const std::vector<record>& records);
new_record verdict_record_of(const trajectory& finished);

/// Plays the records of one rollout's stream, in order, onto a fresh trajectory. `observed` receives tool results of the last turn
/// that are committed while others are not. Errors: corrupt (a record that does not fit what came before).
expected<void> replay_records(trajectory& onto, const std::vector<record>& records,
                              std::vector<std::optional<observation>>& observed);

} // namespace troupe

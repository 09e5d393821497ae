#include "sim/plants.hpp"

#include "runtime/base/planted.hpp"
#include <algorithm>
#include <array>

namespace troupe::sim {

namespace {
constexpr std::array plants = {
    plant{"ack_before_commit", "the store answers before its commit: an acknowledged record is lost with it"},
    plant{"board_keeps_weights", "an engine that starts again has the old weights under the new version"},
    plant{"books_not_reread", "the replay buffer does not hear that the learner's start changed the books"},
    plant{"called_blindly", "a call that may have had its effect is made again without asking"},
    plant{"capacity_one_more", "one group more than eta allows is admitted"},
    plant{"consumed_stays", "a consumed batch's groups stay in the replay buffer: applied twice"},
    plant{"failure_is_zero", "a failed rollout counts as reward 0 in its group's baseline"},
    plant{"journal_counted_twice", "the tokens that a journal knows of a turn stand in it twice"},
    plant{"journal_of_an_older_turn", "what the journal knows of another turn is taken for this one's"},
    plant{"journal_outlives_rollback", "when weights go back, journaled tokens of the newer ones stay"},
    plant{"fence_missing", "the head moves a lost node's rollouts without a fence in the store"},
    plant{"lease_by_wall_clock", "a node measures its lease by the wall clock, which may jump"},
    plant{"lease_leaked", "a lease that ran out is never ended: its rollouts stay where nobody runs them"},
    plant{"lost_rollouts_stay", "a lost node's rollouts are not placed anew"},
    plant{"manifest_ignored", "a crash between checkpoint and record: the step's batch is trained on again"},
    plant{"manifest_of_the_step_before", "a checkpoint names what the step before it consumed"},
    plant{"newer_rollouts_go_on",
          "when weights go back, rollouts admitted for newer ones sample with the older"},
    plant{"news_told_once", "news that is lost is not told again"},
    plant{"not_repeated", "what was lost is not asked again"},
    plant{"open_groups_forgotten", "a manager that starts again does not start the open groups' rollouts"},
    plant{"overtake", "younger complete groups overtake until more are due than a batch holds"},
    plant{"placement_unrecorded", "a rollout is placed anew before the store knows"},
    plant{"quarantine_untold", "nobody hears of a rollout that was given up"},
    plant{"restart_window", "the supervisor gives up one restart too early"},
    plant{"rollback_unrecorded", "weights go back to a checkpoint, the books do not"},
    plant{"slot_leaked", "a rollout that ends does not free its slot"},
    plant{"stale_epoch_accepted", "the store takes in what a fenced epoch writes"},
    plant{"step_without_figures", "a crash between a step and its figures: they are never written"},
    plant{"undone_counts", "what a rollback undid counts as trained"},
    plant{"undone_tokens_count", "what undone weights sampled is trained on as if it were of newer ones"},
    plant{"version_before_weights", "the manager hears of a version before the engine has its weights"},
    plant{"versions_forgotten",
          "a rollout that starts again takes its tokens for sampled with its newest weights"},
    plant{"warm_up_loses_a_step", "a warm-up that goes on in its middle leaves out a step"},
};
} // namespace

std::span<const plant> all_plants() { return plants; }

bool plant_bug(std::string_view name) {
  static std::string kept;
  planted_bug() = nullptr;
  if (name.empty()) return true;
  if (std::none_of(plants.begin(), plants.end(), [&](const plant& it) { return it.name == name; }))
    return false;
  kept = name;
  planted_bug() = &kept;
  return true;
}

} // namespace troupe::sim

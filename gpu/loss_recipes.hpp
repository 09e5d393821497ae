#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Losses of reinforcement learning; their formulas are in gpu/torch/losses.hpp.
enum class rl_loss : std::uint8_t {
  reinforce,
  k2,
  ppo,
  grpo,
  dr_grpo,
  dapo,
  gspo,
  cispo,
  decoupled_ppo,
  topr
};

/// Whom a loss compares the policy with: the policy as it was when the batch came (prox).
enum class proximal_policy : std::uint8_t {
  recompute,   ///< its logprobs are computed before the first update: one more forward pass
  interpolate, ///< log mu + a (sg log pi - log mu), by the token's version (A-3PO): none
  behaviour    ///< mu, as recorded: what ignores staleness
};

/// The weight of a token whose engine, or older policy, was another than the proximal one: f(prox / mu), a constant.
enum class mismatch_correction : std::uint8_t {
  none,
  truncate, ///< min(w, high)
  mask      ///< w inside [low, high], else 0; a sequence with any ratio below 1e-4 has none
};
enum class correction_level : std::uint8_t {
  token,
  sequence,
  geometric
}; ///< w of a token, of all of its sequence's, their mean

/// What of a loss must be known where no tensor is: its name, how its advantages are made, what it needs.
struct loss_recipe {
  rl_loss kind;
  std::string_view name;
  bool leave_one_out; ///< baseline of a group: the others' mean, else the mean of all
  bool scaled;        ///< advantages are divided by the group's standard deviation (of the population)
  bool proximal;      ///< has ratios to the proximal policy; takes mismatch_correction
  double clip_low, clip_high; ///< its own bounds of the ratio, 1 - low and 1 + high; 0: it has none
  std::string_view about;     ///< for people
};

/// The table of all losses. A new one: a value of rl_loss, a row here, and its function in gpu/torch/losses.cpp.
const std::vector<loss_recipe>& loss_recipes();
const loss_recipe& recipe_of(rl_loss kind);
/// Nothing for another name.
const loss_recipe* recipe_by_name(std::string_view name);

} // namespace troupe

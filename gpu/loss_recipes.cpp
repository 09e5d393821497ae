#include "gpu/loss_recipes.hpp"

#include <stdexcept>

namespace troupe {

const std::vector<loss_recipe>& loss_recipes() {
  using enum rl_loss;
  static const std::vector<loss_recipe> table{
      {k2, "k2", false, false, false, 0, 0, "Kimi K2's squared regret (arXiv 2507.20534)"},
      {reinforce, "reinforce", true, false, false, 0, 0,
       "leave-one-out baseline, truncated importance weights pi/mu"},
      {ppo, "ppo", true, false, true, 0.2, 0.2, "PPO's clip, mean over tokens (arXiv 1707.06347)"},
      {grpo, "grpo", false, true, true, 0.2, 0.2,
       "scaled advantages, mean over each sequence's tokens (arXiv 2402.03300)"},
      {dr_grpo, "dr_grpo", false, false, true, 0.2, 0.2,
       "neither scaled nor divided by the length (arXiv 2503.20783)"},
      {dapo, "dapo", false, true, true, 0.2, 0.28,
       "a higher upper clip, mean over the batch's tokens (arXiv 2503.14476)"},
      {gspo, "gspo", false, true, true, 3e-4, 4e-4,
       "the ratio of whole sequences, per token (arXiv 2507.18071)"},
      {cispo, "cispo", false, true, true, 0.2, 0.28,
       "clipped ratios as constant weights, so that no token loses its gradient (arXiv 2506.13585)"},
      {decoupled_ppo, "decoupled_ppo", true, false, true, 0.2, 0.2,
       "PPO's clip around the proximal policy, weighted by prox/mu (arXiv 2110.00641, 2505.24298)"},
      {topr, "topr", true, false, false, 0, 0,
       "samples of negative advantage by min(pi/mu, 1), positive ones whole (arXiv 2503.14286)"}};
  return table;
}

const loss_recipe& recipe_of(rl_loss kind) {
  for (const auto& row : loss_recipes())
    if (row.kind == kind) return row;
  throw std::invalid_argument("no such loss: " + std::to_string(static_cast<int>(kind)));
}

const loss_recipe* recipe_by_name(std::string_view name) {
  for (const auto& row : loss_recipes())
    if (row.name == name) return &row;
  return nullptr;
}

} // namespace troupe

#pragma once

#include "actors/recording.hpp"

namespace troupe {

/// Samples recorded turns again, as the weights of their versions come along in a replay, and remembers what came out.
class turn_check {
public:
  /// Part of a turn that one version sampled.
  struct part {
    std::uint64_t version = 0;
    std::size_t begin = 0, end = 0; ///< of the turn's tokens
    bool tried = false, equal = false;
    std::size_t at = 0; ///< the first token of the turn that differs
    std::string found, expected;
  };
  struct turn {
    std::vector<part> parts;
  };

  explicit turn_check(const run_context& ctx) : ctx_(ctx) {}
  /// Takes a rollout up; its turns are compared as their versions come. `oldest`: tokens of older versions are left out (not_compared).
  void add(const rollout_key& key, const recorded_rollout* what, std::uint64_t oldest);
  /// Weights of this version exist from place `after` of the store's log on. Samples again what they may have sampled and no other
  /// weights of the same number have been found to sample. Errors: of the engine.
  expected<void> weights(weights_ptr what, std::uint64_t version, std::uint64_t after);
  /// In order of the rollout's turns; null: it was not added.
  const std::vector<turn>* of(const rollout_key& key) const;
  std::uint64_t not_compared() const { return not_compared_; }

private:
  struct open_rollout {
    const recorded_rollout* what;
    std::vector<turn> turns;
  };
  struct place {
    open_rollout* in;
    std::size_t turn, part;
  };
  generate_request request_for(const place& at, const rollout_key& key) const;
  static void compare(const place& at, const generated& again);

  const run_context& ctx_;
  std::map<rollout_key, open_rollout> rollouts_;
  std::map<std::uint64_t, std::map<rollout_key, std::vector<place>>> by_version_;
  std::unique_ptr<engine_core> engine_;
  std::uint64_t not_compared_ = 0;
};

} // namespace troupe

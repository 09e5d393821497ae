#pragma once

#include "actors/ask_named.hpp"
#include "actors/fault_injector/fault_points.hpp"
#include "runtime/base/buggify.hpp"

#include <cmath>

namespace troupe {

/// Turns a finished episode into a verdict by rules. Stateless: a restart loses nothing.
///
/// | in            | out                                                                        |
/// | judge_request | verdict, or an error: then there is no reward, and the rollout has failed  |
///
///   JUDGE-1  An error is never answered as a reward.
class judge_actor {
public:
  static constexpr const char* name = "judge";
  judge_actor(self_ptr, context_ptr ctx) : ctx_(std::move(ctx)) {}
  behavior make_behavior() {
    return {
        [this](const judge_request& ask) -> result<verdict> {
          if (const auto change = fault_in_answer(*ctx_, "judge", "verdict", names::judge)) {
            if (change->what == fault_kind::garbage) {
              verdict nonsense;
              nonsense.reward = std::nan("");
              return nonsense;
            }
            return to_caf({errc::unavailable, "injected"}); // also slow: whoever asks tries again
          }
          if (buggify<"judge: it fails">()) return to_caf({errc::internal, "the judge failed (on purpose)"});
          return answer(judge_answer(*ask.finished, ctx_->config.reward_shape()));
        },
    };
  }

private:
  context_ptr ctx_;
};

} // namespace troupe

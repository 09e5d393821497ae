#pragma once

#include "gym/reward.hpp"
#include <array>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

enum class speaker : std::uint8_t { user, assistant, tool };
std::string_view to_string(speaker role);

/// One turn as people read it. Versions and log-probability belong to sampled tokens, so only to the
/// assistant's turns.
struct transcript_turn {
  speaker role = speaker::user;
  std::string text;
  int tokens = 0;
  std::optional<std::array<std::uint64_t, 2>> versions; ///< oldest and newest policy version among its tokens
  std::optional<double> mean_logprob;                   ///< mean over its sampled tokens, in nats
};

/// A trajectory, finished or not. Its first turn is the question.
struct transcript {
  std::string id; ///< of the rollout
  task what;
  episode_end end = episode_end::running;
  std::optional<verdict> judged; ///< none: not judged (yet); never a made-up 0
  std::vector<transcript_turn> turns;
};

/// {"id","task","question","answers","correct","reward","parts","end","turns":[{"role","text","tokens","versions",
/// "mean_logprob"}]}. What is not known is null; an assistant's turn alone has "versions" and "mean_logprob".
json::object to_json(const transcript& what);

/// The same for a terminal, one block a turn, a last line with the verdict:
///   assistant  17 tokens, versions 3-4, mean logprob -0.21
///     <tool_call>...
std::string to_text(const transcript& what);

} // namespace troupe

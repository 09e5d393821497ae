#pragma once

#include "runtime/base/json.hpp"
#include <string>

namespace troupe {

struct transcript_style {
  int width = 80;     ///< columns
  bool color = false; ///< ANSI colours; NO_COLOR and pipes turn them off
};

/// One rollout for people: the question and the accepted answers, then each turn with its role, tokens,
/// policy versions and mean logprob, and how it ended with which reward (and its "parts", if given). Takes
/// the transcript object of the report; fields that it lacks are left out. Every control character of the
/// text is made visible.
std::string render_transcript(const json::object& transcript, const transcript_style& style = {});

} // namespace troupe

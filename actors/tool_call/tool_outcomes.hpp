#pragma once

#include "gym/episode.hpp"

/// What the runtime itself answers in a tool's place. The model sees the same text in every life: no ids, no reasons of ours.
namespace troupe::tool_outcomes {

inline constexpr std::string_view failed_always = "the tool failed every time it was tried";
inline constexpr std::string_view not_started = "the tool could not be started";
inline constexpr std::string_view no_answer = "the tool did not answer in time";
inline constexpr std::string_view over_budget =
    "the search took longer than its budget"; ///< tools/search_index.cpp
inline constexpr std::string_view injected_failure = "the tool failed: injected";
inline constexpr std::string_view injected_shape =
    R"({"status": 200, "items": null})"; ///< well-formed, and no answer
inline constexpr std::string_view injected_garbage{"\xff\xfe\x00{]garbage\x80", 13};

/// It came from the moment, not from the call: calling again may answer otherwise.
bool of_the_moment(const observation& what);

} // namespace troupe::tool_outcomes

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// Why a rollout runs. Only training rollouts enter the replay buffer and the balance.
enum class purpose : std::uint8_t { train = 1, evaluation = 2 };

/// Names one attempt at a task, once and everywhere: store keys, engine sequences, random streams, the manifest.
struct rollout_key {
  purpose why = purpose::train;
  std::uint64_t group = 0; ///< training: the run's n-th group; evaluation: (round << 20) + question
  std::uint32_t attempt = 0;

  auto operator<=>(const rollout_key&) const = default;

  /// One number: the engine's sequence id and the random stream.
  std::uint64_t number() const { return (std::uint64_t(why) << 60) | (group << 12) | attempt; }
  static rollout_key of_number(std::uint64_t n) {
    return {purpose(n >> 60), (n >> 12) & ((std::uint64_t{1} << 48) - 1),
            static_cast<std::uint32_t>(n & 0xfff)};
  }
  std::uint64_t group_number() const { return (std::uint64_t(why) << 60) | (group << 12) | 0xfff; }
  /// "t17.3": in store keys, logs and the manifest.
  std::string text() const {
    return (why == purpose::train ? "t" : "e") + std::to_string(group) + "." + std::to_string(attempt);
  }
};

inline std::string stream_of(const rollout_key& key) { return "rollout/" + key.text(); }

/// The inverse of rollout_key::text() and of stream_of; nothing if it is neither.
std::optional<rollout_key> parse_rollout_key(std::string_view text);
std::optional<rollout_key> parse_rollout_stream(std::string_view text);

} // namespace troupe

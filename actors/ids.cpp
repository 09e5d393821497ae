#include "actors/ids.hpp"

#include <charconv>

namespace troupe {

std::optional<rollout_key> parse_rollout_key(std::string_view text) {
  rollout_key key;
  if (text.empty() || (text[0] != 't' && text[0] != 'e')) return std::nullopt;
  key.why = text[0] == 't' ? purpose::train : purpose::evaluation;
  const char* end = text.data() + text.size();
  auto group = std::from_chars(text.data() + 1, end, key.group);
  if (group.ec != std::errc{} || group.ptr == end || *group.ptr != '.') return std::nullopt;
  auto attempt = std::from_chars(group.ptr + 1, end, key.attempt);
  if (attempt.ec != std::errc{} || attempt.ptr != end) return std::nullopt;
  return key;
}

std::optional<rollout_key> parse_rollout_stream(std::string_view text) {
  constexpr std::string_view prefix = "rollout/";
  if (!text.starts_with(prefix)) return std::nullopt;
  return parse_rollout_key(text.substr(prefix.size()));
}

} // namespace troupe

#include "actors/turn_record.hpp"

namespace troupe {

namespace {

template <class T>
bool from_array(const json::object& from, std::string_view key, std::vector<T>& out) {
  auto list = json::array_at(from, key);
  if (!list) return false;
  for (const auto& x : **list) {
    if (!x.is_number()) return false;
    out.push_back(
        static_cast<T>(x.to_number<std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>>()));
  }
  return true;
}

} // namespace

expected<generated> generated_in(const json::object& body) {
  generated turn;
  auto reason = json::int_at(body, "reason");
  if (!reason || !from_array(body, "tokens", turn.tokens) || !from_array(body, "logprobs", turn.logprobs) ||
      !from_array(body, "versions", turn.versions) || turn.tokens.size() != turn.logprobs.size() ||
      turn.tokens.size() != turn.versions.size())
    return fail(errc::corrupt, "expected equally long lists of tokens, logprobs and versions");
  turn.reason = static_cast<finish_reason>(*reason);
  return turn;
}

} // namespace troupe

#include "actors/replay_buffer/batch_choice.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>
#include <map>

namespace troupe {

std::optional<std::vector<std::uint64_t>>
choose_batch(const std::vector<open_group>& open, std::uint64_t step, std::uint64_t eta, std::size_t size) {
  struct count {
    std::uint64_t taken = 0, left = 0;
  };
  std::map<std::uint64_t, count> by_version;
  std::vector<std::uint64_t> chosen;
  auto take = [&](const open_group& group) {
    const bool takes = group.complete && chosen.size() < size;
    if (takes) chosen.push_back(group.id);
    auto& at = by_version[group.version];
    ++(takes ? at.taken : at.left);
  };
  // Versions rise with the ids but after a rollback, when the due ones go first all the same.
  for (const auto& group : open) {
    if (group.version + eta > step) continue;
    if (!group.complete) {
      probe<"choice: it waits for a group that is due">();
      return std::nullopt;
    }
    take(group);
  }
  for (const auto& group : open)
    if (group.version + eta > step) take(group);
  if (chosen.size() < size) return std::nullopt;
  count sum; // of all versions up to this one
  for (const auto& [version, at] : by_version) {
    sum.taken += at.taken;
    sum.left += at.left;
    if (version + eta <= step || sum.taken == size) continue;
    if (sum.left > (version + eta - step) * size && !planted("overtake")) {
      probe<"choice: it waits before too many are left">();
      return std::nullopt;
    }
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

} // namespace troupe

#include "runtime/store_fences.hpp"

#include "runtime/base/planted.hpp"
#include <algorithm>
#include <charconv>

namespace troupe {

namespace {

/// What stands behind the last slash.
std::uint64_t last_number(const std::string& key) {
  std::uint64_t out = 0;
  const auto from = key.rfind('/') + 1; // 0 if there is none
  std::from_chars(key.data() + from, key.data() + key.size(), out);
  return out;
}

} // namespace

void store_fences::learn(const std::string& kind, const std::string& stream, const std::string& key) {
  if (kind == "fence") over_.insert(last_number(key));
  if (kind == "placement") {
    auto& newest = placements_[stream];
    newest = std::max(newest, last_number(key));
  }
}

expected<void> store_fences::admit(const write_fence& who, const std::string& stream) const {
  if (over_.contains(who.epoch) && !planted("stale_epoch_accepted"))
    return fail(errc::in_use, "epoch " + std::to_string(who.epoch) + " is over");
  const auto placed = placements_.find(stream);
  const auto newest = placed == placements_.end() ? 0 : placed->second;
  if (who.placement != newest)
    return fail(errc::in_use, stream + " is at its placement " + std::to_string(newest) +
                                  ", this write is of placement " + std::to_string(who.placement));
  return {};
}

} // namespace troupe

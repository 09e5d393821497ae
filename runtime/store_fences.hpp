#pragma once

#include "runtime/base/error.hpp"
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace troupe {

/// Who writes, where there are several nodes: the epoch in which its node is a member, and the number of the placement by which its
/// rollout runs there. Zeros: nobody whom a fence could concern.
struct write_fence {
  std::uint64_t epoch = 0, placement = 0;
  bool operator==(const write_fence&) const = default;
};

/// Whose writes are over, folded from the store's own records: "fence/EPOCH" of kind "fence", and "placement/.../NUMBER" of kind
/// "placement" in the stream that is placed.
class store_fences {
public:
  /// Whether a record of this kind changes what is taken in.
  static bool is_fence(std::string_view kind) { return kind == "fence" || kind == "placement"; }
  /// Takes in a committed record; most kinds mean nothing to it.
  void learn(const std::string& kind, const std::string& stream, const std::string& key);
  /// Errors: in_use (another one goes on with it), saying by what.
  expected<void> admit(const write_fence& who, const std::string& stream) const;

private:
  std::set<std::uint64_t> over_;                    ///< epochs
  std::map<std::string, std::uint64_t> placements_; ///< the newest, by stream
};

} // namespace troupe

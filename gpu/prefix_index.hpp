#pragma once

#include "gpu/kv_cache.hpp"
#include <unordered_map>

namespace troupe {

/// A running hash of a context at every 16 tokens: equal beginnings have equal chains.
class prefix_chain {
public:
  /// Chains of different salts have nothing in common.
  explicit prefix_chain(std::uint64_t salt = 0) : salt_(salt) {}
  /// The links of the first `count` tokens. Those that are there are kept: who changed tokens has cut them before.
  void follow(const std::vector<token>& tokens, std::size_t count);
  const std::vector<std::uint64_t>& links() const { return links_; }
  void cut(std::size_t count) { links_.resize(std::min(count, links_.size())); }

private:
  std::uint64_t salt_;
  std::vector<std::uint64_t> links_;
};

/// Finds, by content, who has computed the longest beginning of a context: system prompts are shared by requests that know nothing of each
/// other. It remembers one owner for each beginning, the last that reached it; who finds one compares the tokens themselves.
template <class Owner>
class prefix_index {
public:
  void add(std::uint64_t link, Owner* owner) { owners_.insert_or_assign(link, owner); }
  void remove(std::uint64_t link, Owner* owner) {
    if (const auto found = owners_.find(link); found != owners_.end() && found->second == owner)
      owners_.erase(found);
  }
  /// The owner of the longest beginning that is longer than `more_than` blocks; nullptr: there is none.
  Owner* longest(const std::vector<std::uint64_t>& links, std::size_t more_than) const {
    for (auto n = links.size(); n > more_than; --n)
      if (const auto found = owners_.find(links[n - 1]); found != owners_.end()) return found->second;
    return nullptr;
  }
  void clear() { owners_.clear(); }

private:
  std::unordered_map<std::uint64_t, Owner*> owners_;
};

} // namespace troupe

#pragma once

#include "runtime/actor.hpp"
#include <map>
#include <memory>
#include <mutex>

namespace troupe {

/// Names of the living: who is "store" or "engine" right now. A supervisor writes a child's address here at every start, so a
/// sender that looks it up at each message finds the new life after a restart. Thread-safe; one per experiment and node. Names that
/// nobody here holds may be those of another node, as far as it has told.
class directory {
public:
  /// The current holder of a name; null if there is none at the moment.
  actor_ref find(const std::string& name) const {
    std::scoped_lock lock(mutex_);
    if (auto found = entries_.find(name); found != entries_.end()) return found->second;
    auto there = elsewhere_.find(name);
    return there == elsewhere_.end() ? actor_ref{} : there->second;
  }
  /// The same, of this node only.
  actor_ref find_here(const std::string& name) const {
    std::scoped_lock lock(mutex_);
    auto found = entries_.find(name);
    return found == entries_.end() ? actor_ref{} : found->second;
  }
  /// Whether a message to this name leaves the node, and may be lost on its way.
  bool leaves(const std::string& name) const {
    std::scoped_lock lock(mutex_);
    return !elsewhere_.empty() && !entries_.contains(name);
  }
  /// Who holds which name on the other node, now.
  void set_elsewhere(std::map<std::string, actor_ref> names) {
    std::scoped_lock lock(mutex_);
    elsewhere_.swap(names); // the old ones are released with the argument, outside the lock
  }
  void set(const std::string& name, actor_ref who) {
    std::scoped_lock lock(mutex_);
    entries_[name] = std::move(who);
  }
  /// Removes the name only if `who` still holds it.
  void erase(const std::string& name, const actor_ref& who) {
    std::scoped_lock lock(mutex_);
    auto found = entries_.find(name);
    if (found != entries_.end() && found->second == who) entries_.erase(found);
  }
  /// All names that somebody holds here now, in order.
  std::vector<std::string> names() const {
    std::scoped_lock lock(mutex_);
    std::vector<std::string> out;
    out.reserve(entries_.size());
    for (const auto& [name, who] : entries_) out.push_back(name);
    return out;
  }
  /// How many there are: `names` copies them all under the lock.
  std::size_t size() const {
    std::scoped_lock lock(mutex_);
    return entries_.size();
  }
  void clear() {
    std::map<std::string, actor_ref> dropped, others; // handles are released outside the lock
    std::scoped_lock lock(mutex_);
    dropped.swap(entries_);
    others.swap(elsewhere_);
  }

private:
  mutable std::mutex mutex_;
  std::map<std::string, actor_ref> entries_, elsewhere_;
};
using directory_ptr = std::shared_ptr<directory>;

} // namespace troupe

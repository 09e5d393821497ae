#pragma once

#include <cstdint>
#include <deque>
#include <set>

namespace troupe {

/// Reports that were taken in, so that one that comes twice counts once. Remembers the newest thousand: a second one comes within seconds.
class recent_reports {
public:
  /// False: it was there. 0 is no report's number, and always fresh.
  bool fresh(std::uint64_t report) {
    if (report == 0) return true;
    if (!known_.insert(report).second) return false;
    order_.push_back(report);
    if (order_.size() > 1024) {
      known_.erase(order_.front());
      order_.pop_front();
    }
    return true;
  }

private:
  std::set<std::uint64_t> known_;
  std::deque<std::uint64_t> order_;
};

} // namespace troupe

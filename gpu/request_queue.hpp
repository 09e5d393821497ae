#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>

namespace troupe {

struct running_request;

/// Requests that wait for a place in the batch: the lowest rank (their priority, or that of a protected one) goes first, equal ones
/// in order of submission.
///   QUE-1  Of those that wait, the one submitted first is overtaken by at most `most_overtaken` later ones; then
///   it is next, whatever its priority.
/// Everything takes time logarithmic in the number of requests.
class request_queue {
public:
  explicit request_queue(int most_overtaken);
  ~request_queue();

  /// By the request's rank and its `number`, which grows with submission.
  void push(std::unique_ptr<running_request> request);
  running_request& next(); ///< not empty
  /// Protects it if it is here for as long as QUE-1 allows.
  std::unique_ptr<running_request> pop();
  /// nullptr: this sequence is not here.
  std::unique_ptr<running_request> take(std::uint64_t sequence);

  std::size_t size() const { return by_turn_.size(); }
  bool empty() const { return by_turn_.empty(); }

private:
  using turn = std::pair<int, std::uint64_t>; ///< rank, number
  std::map<turn, std::unique_ptr<running_request>>::iterator front();

  int most_overtaken_, overtaken_ = 0; ///< how often the oldest was
  std::map<turn, std::unique_ptr<running_request>> by_turn_;
  std::map<std::uint64_t, turn> by_age_;
  std::unordered_map<std::uint64_t, turn> by_sequence_;
};

} // namespace troupe

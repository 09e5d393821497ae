#include "gpu/request_queue.hpp"

#include "gpu/batching_engine.hpp"

namespace troupe {

request_queue::request_queue(int most_overtaken) : most_overtaken_(most_overtaken) {}
request_queue::~request_queue() = default;

void request_queue::push(std::unique_ptr<running_request> request) {
  const turn at{request->rank, request->number};
  if (by_age_.empty() || request->number < by_age_.begin()->first) overtaken_ = 0;
  by_age_.emplace(request->number, at);
  by_sequence_.emplace(request->request.sequence, at);
  by_turn_.emplace(at, std::move(request));
}

std::map<request_queue::turn, std::unique_ptr<running_request>>::iterator request_queue::front() {
  return overtaken_ >= most_overtaken_ ? by_turn_.find(by_age_.begin()->second) : by_turn_.begin();
}

running_request& request_queue::next() { return *front()->second; }

std::unique_ptr<running_request> request_queue::pop() {
  const auto at = front();
  const bool oldest = at->second->number == by_age_.begin()->first, late = overtaken_ >= most_overtaken_;
  if (!oldest) ++overtaken_;
  auto out = take(at->second->request.sequence);
  if (oldest && late) out->rank = running_request::protected_rank;
  return out;
}

std::unique_ptr<running_request> request_queue::take(std::uint64_t sequence) {
  const auto found = by_sequence_.find(sequence);
  if (found == by_sequence_.end()) return nullptr;
  const auto at = by_turn_.find(found->second);
  auto out = std::move(at->second);
  if (out->number == by_age_.begin()->first) overtaken_ = 0;
  by_turn_.erase(at);
  by_age_.erase(out->number);
  by_sequence_.erase(found);
  return out;
}

} // namespace troupe

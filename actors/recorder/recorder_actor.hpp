#pragma once

#include "actors/ask_named.hpp"
#include <fstream>

namespace troupe {

/// Writes what the run says of itself: durable figures into the store and metrics.jsonl, and everything to the live view.
///
/// | in            | out                                                                          |
/// | metric_record | done, when it is durable (steps, evaluations, stages); others are only shown |
///
///   REC-1  A figure is recorded once, however often it is told: its key is its kind and its step or round.
///   REC-2  metrics.jsonl is the store's records, in order; a start writes it anew from them.
class recorder_actor {
public:
  static constexpr const char* name = "recorder";
  recorder_actor(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {}
  behavior make_behavior();

private:
  void show(const json::object& body);
  self_ptr self_;
  context_ptr ctx_;
  std::ofstream file_;
};

/// The store key of a durable record ("metric/step/12"); empty: only shown.
std::string metric_key(const json::object& body);

} // namespace troupe

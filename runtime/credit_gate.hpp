#pragma once

#include <cstddef>

namespace troupe {

/// Bounds the work a consumer has in flight. A producer spends one credit per item; the credit comes back
/// when the item is finished, not when it is received.
///
/// In:  `try_take` (producer), `give_back` (consumer), `close` (shutdown).
/// Out: true = send now; false = keep the item, ask again after a `give_back`.
/// Backpressure: the gate never queues; an item without a credit stays with its producer.
///   GATE-1  in_flight() never exceeds the capacity.
///   GATE-2  A closed gate hands out no credit and stays closed.
///   GATE-3  A gate is drained when it is closed and every credit has come back.
/// Not thread-safe: it lives inside one actor.
class credit_gate {
public:
  explicit credit_gate(std::size_t capacity) : capacity_(capacity) {}

  // -- properties
  std::size_t capacity() const { return capacity_; }
  std::size_t in_flight() const { return in_flight_; }
  bool closed() const { return closed_; }
  bool drained() const { return closed_ && in_flight_ == 0; }

  // -- modifiers
  [[nodiscard]] bool try_take();
  void give_back(); ///< Exactly once per taken credit.
  void close() { closed_ = true; }

private:
  std::size_t capacity_, in_flight_ = 0;
  bool closed_ = false;
};

} // namespace troupe

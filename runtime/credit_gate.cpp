#include "runtime/credit_gate.hpp"

#include <cassert>

namespace troupe {

bool credit_gate::try_take() {
  if (closed_ || in_flight_ == capacity_) return false;
  ++in_flight_;
  return true;
}

void credit_gate::give_back() {
  assert(in_flight_ > 0 && "a credit came back twice");
  if (in_flight_ > 0) --in_flight_;
}

} // namespace troupe

#pragma once

#include "caf/all.hpp"
#include <bit>
#include <cstdint>
#include <type_traits>

/// Floats that may cross a node. One `infinity` in a remote message hangs CAF 0.17's network thread for ever,
/// NaN arrives as -1 and -0.0 as 0 (docs/decisions/0001), so a float travels as its bit pattern.
namespace troupe::wire {

/// A float that is sent as its bit pattern; used like the float it holds.
///   WIRE-1  Every value, NaN, infinities, -0.0 and denormals included, arrives bit by bit.
template <class Float, class Bits>
struct exact {
  Float value = 0;
  exact() = default;
  exact(Float v) : value(v) {}
  operator Float() const { return value; }
};
using f64 = exact<double, std::uint64_t>;
using f32 = exact<float, std::uint32_t>;

template <class Inspector, class Float, class Bits>
typename Inspector::result_type inspect(Inspector& f, exact<Float, Bits>& x) {
  auto bits = std::bit_cast<Bits>(x.value);
  if constexpr (Inspector::writes_state) {
    auto result = f(bits);
    x.value = std::bit_cast<Float>(bits);
    return result;
  } else {
    return f(bits);
  }
}

} // namespace troupe::wire

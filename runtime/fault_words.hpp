#pragma once

#include "runtime/fault_rule.hpp"
#include <optional>

namespace troupe {

/// The words of a rule of faults, as values. None of them takes anything that is not wholly what it says.
std::optional<fault_kind> fault_kind_of(std::string_view word);
/// "kill, throw, ..."
std::string all_fault_kinds();
std::optional<double> fault_number(std::string_view text);
/// A whole number from 1.
std::optional<std::uint64_t> fault_count(std::string_view text);
/// "2s", "500ms", "1.5m", "1h": more than 0. With `sign`, "+1h" and "-1h".
std::optional<duration> fault_time(std::string_view text, bool sign = false);

} // namespace troupe

#include "runtime/fault_words.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace troupe {

namespace {
constexpr std::array<std::pair<std::string_view, fault_kind>, 17> kinds{{
    {"kill", fault_kind::kill},
    {"throw", fault_kind::raise},
    {"stall", fault_kind::stall},
    {"hang", fault_kind::hang},
    {"fail", fault_kind::fail},
    {"garbage", fault_kind::garbage},
    {"wrong", fault_kind::wrong},
    {"slow", fault_kind::slow},
    {"enospc", fault_kind::enospc},
    {"eio", fault_kind::eio},
    {"flip", fault_kind::flip},
    {"truncate", fault_kind::truncate},
    {"drop", fault_kind::drop},
    {"duplicate", fault_kind::duplicate},
    {"delay", fault_kind::delay},
    {"reorder", fault_kind::reorder},
    {"jump", fault_kind::jump},
}};
} // namespace

std::string_view to_string(fault_kind what) {
  for (const auto& [name, kind] : kinds)
    if (kind == what) return name;
  return "fault";
}

std::optional<fault_kind> fault_kind_of(std::string_view word) {
  const auto* found =
      std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == word; });
  return found == kinds.end() ? std::nullopt : std::optional(found->second);
}

std::string all_fault_kinds() {
  std::string out;
  for (const auto& [name, kind] : kinds) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

std::optional<double> fault_number(std::string_view text) {
  double out = 0;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (bad != std::errc{} || end != text.data() + text.size() || !std::isfinite(out)) return {};
  return out;
}

std::optional<std::uint64_t> fault_count(std::string_view text) {
  const auto n = fault_number(text);
  if (!n || *n < 1 || *n > 1e15 || *n != std::floor(*n)) return {};
  return static_cast<std::uint64_t>(*n);
}

std::optional<duration> fault_time(std::string_view text, bool sign) {
  constexpr std::array<std::pair<std::string_view, double>, 4> units{
      {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  const bool back = sign && text.starts_with('-');
  if (sign && (back || text.starts_with('+'))) text.remove_prefix(1);
  for (const auto& [unit, factor] : units) {
    if (!text.ends_with(unit)) continue;
    const auto n = fault_number(text.substr(0, text.size() - unit.size()));
    if (!n || *n <= 0 || *n * factor > 1e7) continue;
    const auto out = std::chrono::duration_cast<duration>(std::chrono::duration<double>(*n * factor));
    return back ? -out : out;
  }
  return {};
}

} // namespace troupe

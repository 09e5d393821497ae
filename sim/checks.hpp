#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::sim {

struct evidence;

/// Something that must hold of a run whatever went wrong in it. Each is written once and combined freely in worlds.
struct named_check {
  std::string_view name, says;
  /// Nothing if it holds; otherwise what was found and what was expected.
  std::optional<std::string> (*look)(const evidence&);
};

const std::vector<named_check>& all_checks();
const named_check* find_check(std::string_view name);
std::vector<std::string_view> check_names();

} // namespace troupe::sim

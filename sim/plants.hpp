#pragma once

#include <span>
#include <string_view>

namespace troupe::sim {

/// A bug on purpose, at the very place in actors/ or runtime/ where it could be made: `planted("name")`.
struct plant {
  std::string_view name, says;
};

std::span<const plant> all_plants();

/// Plants a bug in the whole process, or none with an empty name; before any simulation runs. False: there is no such bug.
bool plant_bug(std::string_view name);

} // namespace troupe::sim

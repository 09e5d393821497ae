#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace troupe {

/// Letters to insert, remove or replace to make `a` of `b` (Levenshtein 1966).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The word of `known` that is nearest to a mistyped one; empty if nothing is known.
std::string_view nearest_word(std::string_view word, const std::vector<std::string_view>& known);

} // namespace troupe

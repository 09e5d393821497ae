#include "cli/replay.hpp"

#include "actors/prepare.hpp"
#include "actors/run_replay.hpp"
#include "cli/commands.hpp"
#include "cli/number_range.hpp"
#include "cli/run_folder.hpp"

#include <cstdio>
#include <iostream>

namespace troupe::cli {

namespace {

std::string as_text(const json::value& v) {
  return v.is_string() ? std::string(v.get_string()) : json::dump(v);
}

std::string short_form(const std::string& text) {
  constexpr std::size_t most = 160;
  return text.size() <= most ? text : text.substr(0, most) + "...";
}

void print_difference(const json::object& it) {
  std::cout << "the first difference is in step " << as_text(it.at("step"));
  if (it.contains("rollout")) std::cout << ", rollout " << as_text(it.at("rollout"));
  if (it.contains("turn")) std::cout << ", turn " << as_text(it.at("turn"));
  if (it.contains("token")) std::cout << ", token " << as_text(it.at("token"));
  std::cout << ": " << as_text(it.at("what"))
            << "\n  found (recorded):    " << short_form(as_text(it.at("found")))
            << "\n  expected (replayed): " << short_form(as_text(it.at("expected"))) << '\n';
  if (it.contains("note")) std::cout << "  " << as_text(it.at("note")) << '\n';
}

void print(const json::object& facts) {
  if (const auto* it = facts.at("difference").if_object()) print_difference(*it);
  std::cout << as_text(facts.at("steps")) << " steps trained again (" << as_text(facts.at("rollbacks"))
            << " times back to an older checkpoint); " << as_text(facts.at("rollouts")) << " rollouts, "
            << as_text(facts.at("turns")) << " turns, " << as_text(facts.at("tokens"))
            << " tokens sampled again; " << as_text(facts.at("tool_calls")) << " tool calls ("
            << as_text(facts.at("as_recorded")) << " taken as recorded), " << as_text(facts.at("verdicts"))
            << " verdicts\n";
  if (facts.at("not_compared").to_number<std::uint64_t>() > 0)
    std::cout << as_text(facts.at("not_compared"))
              << " tokens are older than the checkpoint that it began with: not compared\n";
  std::cout << "weights " << as_text(facts.at("weights")).substr(0, 16)
            << (facts.at("equal").as_bool() ? ": everything is equal, bit for bit\n" : "\n");
}

} // namespace

int replay(const replay_arguments& arguments) {
  auto given = arguments.run;
  if (!given.has_filename()) given = given.parent_path(); // a slash behind it
  const run_folder folder{given};
  auto config = folder.config();
  if (!config) return complain(config.error());
  replay_options options;
  if (!arguments.steps.empty()) {
    auto range = parse_range("--steps", arguments.steps, "1..10");
    if (!range) return complain(range.error());
    options.first = range->first;
    options.last = range->last;
    if (options.first == 0)
      return complain({errc::invalid, "--steps " + arguments.steps +
                                          ": steps count from 1, expected A..B, for example 1..10"});
  }
  if (arguments.rollouts >= 0) options.rollouts = static_cast<std::uint64_t>(arguments.rollouts);
  auto store = folder.store();
  if (!store) return complain(store.error());
  config->run.name = given.filename().string(); // it may have been copied
  config->faults = {};                          // what they did is in the records
  config->engine.remote.clear();                // what a server sampled is held to what is sampled here
  config->engine.remote_key_env.clear();
  auto ctx = prepare_run(*config, {given.parent_path(), cache_folder()}, [](const json::object&) {});
  if (!ctx) return complain(ctx.error());
  if (!arguments.json)
    options.on_step = [](const json::object& it) {
      char text[160];
      std::snprintf(text, sizeof text,
                    "step %3d: %4d rollouts, %5d turns, %6d tokens, %5d tool calls equal; weights equal",
                    it.at("step").to_number<int>(), it.at("rollouts").to_number<int>(),
                    it.at("turns").to_number<int>(), it.at("tokens").to_number<int>(),
                    it.at("tool_calls").to_number<int>());
      std::cout << text << std::endl;
    };
  auto facts = replay_run(*ctx, **store, options);
  if (!facts)
    return complain({facts.error().code, given.string() + " cannot be replayed: " + facts.error().message});
  if (arguments.json)
    std::cout << json::dump(*facts) << '\n';
  else
    print(*facts);
  return facts->at("equal").as_bool() ? ok : failed;
}

} // namespace troupe::cli

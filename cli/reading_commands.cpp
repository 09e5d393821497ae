#include "cli/commands.hpp"
#include "cli/report_page.hpp"
#include "cli/run_report.hpp"
#include "cli/session.hpp"
#include "cli/tables.hpp"
#include "cli/transcript_view.hpp"
#include "cli/turn_in_progress.hpp"
#include "runtime/base/file.hpp"

#include <cstdio>
#include <iostream>
#include <unistd.h>

namespace troupe::cli {

namespace {

int show_one(const inspect_arguments& arguments, event_store& store, const run_context& ctx) {
  auto key = parse_rollout_key(arguments.rollout);
  if (!key)
    return complain({errc::invalid, "\"" + arguments.rollout +
                                        "\" is no rollout id; expected one such as t17.3 (`troupe inspect " +
                                        arguments.run.string() + "` lists them)"});
  auto found = read_rollout(store, ctx, *key);
  if (!found) return complain(found.error());
  auto shown = found->as_transcript();
  auto now = turn_in_progress(store, ctx.rules, *found);
  if (!now) return complain(now.error());
  if (*now) shown.turns.push_back(**now);
  if (arguments.json) {
    std::cout << json::dump(to_json(shown)) << '\n';
    return ok;
  }
  const auto look = view_options("auto", {});
  std::cout << render_transcript(to_json(shown), {look.width(), look.color});
  return ok;
}

} // namespace

int inspect(const inspect_arguments& arguments) {
  const run_folder folder{arguments.run};
  auto ctx = reading_context(folder);
  if (!ctx) return complain(ctx.error());
  auto store = folder.store();
  if (!store) return complain(store.error());
  if (!arguments.rollout.empty()) return show_one(arguments, **store, **ctx);
  auto verdicts = (*store)->read_kind("verdict");
  if (!verdicts) return complain(verdicts.error());
  table_rows rows{{"rollout", "task", "reward", "correct", "turns", "calls", "end"}};
  json::array listed;
  std::size_t total = 0;
  for (const auto& r : *verdicts) {
    auto key = parse_rollout_stream(r.stream);
    auto body = json::parse(r.body);
    if (!key || !body || !body->is_object()) continue;
    if (!arguments.only.empty() && (arguments.only == "train") != (key->why == purpose::train)) continue;
    ++total;
    if (arguments.limit > 0 && total > static_cast<std::size_t>(arguments.limit)) continue;
    auto& o = body->get_object();
    if (arguments.json) {
      o["rollout"] = key->text();
      listed.push_back(o);
      continue;
    }
    auto text = [&](std::string_view name) {
      const auto* v = o.if_contains(name);
      return !v ? std::string("–") : v->is_string() ? std::string(v->get_string()) : json::dump(*v);
    };
    auto reward = json::number_at(o, "reward");
    char number[32];
    std::snprintf(number, sizeof number, "%.2f", reward.value_or(0));
    rows.push_back({key->text(), text("task"), reward ? number : "–",
                    text("correct") == "true" ? "yes" : "no", text("turns"), text("calls"),
                    text("error") == "none" ? text("end") : text("error")});
  }
  if (arguments.json) {
    std::cout << json::dump(json::object{{"total", total}, {"rollouts", std::move(listed)}}) << '\n';
    return ok;
  }
  std::cout << render_table(rows);
  if (total + 1 > rows.size())
    std::cout << "... " << total + 1 - rows.size() << " more (--limit 0 lists all)\n";
  std::cout << "Show one: ./troupe inspect " << arguments.run.string() << " ROLLOUT\n";
  return ok;
}

int report(const report_arguments& arguments) {
  const run_folder folder{arguments.run};
  auto ctx = reading_context(folder);
  if (!ctx) return complain(ctx.error());
  auto made = write_report(folder, **ctx, std::nullopt);
  if (!made) return complain(made.error());
  if (!arguments.curve.empty())
    if (auto written = write_file_atomically(arguments.curve, main_curve_svg(*made)); !written)
      return complain(written.error());
  if (arguments.json)
    std::cout << json::dump(*made) << '\n';
  else
    std::cout << closing_summary(*made);
  return balance_holds(*made) ? ok : failed;
}

int explain_config(const explain_arguments& arguments) {
  run_config config;
  if (!arguments.config.empty() || !arguments.overrides.empty()) {
    auto loaded = arguments.config.empty() ? load_config_text<run_config>("", arguments.overrides)
                                           : load_config<run_config>(arguments.config, arguments.overrides);
    if (!loaded) return complain(loaded.error());
    config = *loaded;
  }
  if (arguments.json) {
    std::cout << json::dump(explain_json(config)) << '\n';
  } else if (arguments.markdown) {
    std::cout << explain_markdown(config);
  } else {
    const auto text = explain(config, arguments.prefix);
    if (text.empty())
      return complain({errc::invalid,
                       "no key starts with \"" + arguments.prefix + "\"; `troupe config explain` lists all"});
    std::cout << text;
  }
  return ok;
}

} // namespace troupe::cli

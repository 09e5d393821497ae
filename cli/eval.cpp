#include "cli/commands.hpp"
#include "cli/report_values.hpp"
#include "cli/run_report.hpp"
#include "cli/session.hpp"
#include "cli/tables.hpp"

#include "actors/tree.hpp"
#include "gpu/engine_device.hpp"
#include "tools/search_tools.hpp"

#include <iostream>

namespace troupe::cli {

namespace {

/// The run as it was trained, with its newest checkpoint, other questions if asked, and a store in memory.
expected<std::shared_ptr<run_context>> evaluation_context(const eval_arguments& arguments) {
  const run_folder folder{arguments.run};
  auto ctx = reading_context(folder);
  if (!ctx) return ctx;
  auto& run = **ctx;
  if (!arguments.tasks.empty()) {
    auto tasks = read_tasks(arguments.tasks);
    if (!tasks) return fail(tasks.error());
    run.heldout = std::move(*tasks); // all of them, whatever their split says
  }
  if (run.heldout.empty())
    return fail(errc::invalid, "no question to measure on: the tasks have none with \"split\": \"heldout\"");
  auto stored = load_latest_checkpoint(folder.path / "checkpoints");
  if (!stored) return fail(stored.error());
  auto index = search_index::open(folder.path / "data" / "index.sqlite");
  if (!index) return fail(index.error());
  search_options search;
  search.top = static_cast<int>(run.config.tools.search_results);
  search.max_chars = static_cast<int>(run.config.tools.snippet_chars);
  run.tools = {make_search_tool(*index, search),
               make_open_tool(*index, {static_cast<int>(run.config.tools.page_chars)})};
  run.folder.clear(); // nothing is written into the run
  auto limits = run.config.engine_shape();
  if (auto device = resolve(limits.device); device)
    limits.device = *device;
  else
    return fail(device.error());
  run.parts.make_engine = [shape = stored->weights.config, limits] { return make_engine(shape, limits); };
  run.parts.open_store = [] { return event_store::open(":memory:", system_clock()); };
  run.board->publish(std::make_shared<const model_weights>(std::move(stored->weights)), stored->version);
  return ctx;
}

expected<json::object> measure(node& node, const run_context& ctx, const evaluate& what) {
  for (int tries = 0; !ctx.names->find(names::evaluator) && tries < 500; ++tries) // the tree is starting
    if (node.root_ended(std::chrono::milliseconds(20))) break;
  auto got = node.ask<metric_record>(ctx.names->find(names::evaluator), what, std::chrono::minutes(60));
  if (!got) return fail(got.error());
  return got->body;
}

} // namespace

int eval(const eval_arguments& arguments) {
  auto ctx = evaluation_context(arguments);
  if (!ctx) return complain(ctx.error());
  node_options options;
  options.stop_deadline = std::chrono::seconds(3);
  auto started = node::start(options);
  if (!started) return complain(started.error());
  auto& node = **started;
  (*ctx)->threads = node::threads();
  node.supervise(tree_options(*ctx), evaluation_children(*ctx));
  const int all = static_cast<int>((*ctx)->heldout.size());
  const int questions = arguments.questions > 0 ? std::min(arguments.questions, all) : all;
  if (!arguments.json)
    std::cout << "Measuring " << questions << " questions, " << arguments.samples
              << " samples each, then greedy\n"
              << std::flush;
  const auto version = (*ctx)->board->current().version;
  auto sampled = measure(node, **ctx, {"after", 1, version, "t1", questions, arguments.samples});
  auto greedy = sampled ? measure(node, **ctx, {"after", 2, version, "greedy", questions, 1}) : sampled;
  if (auto stop = node.stop(); !stop) (void)started->release();
  if (!sampled) return complain(sampled.error());
  if (!greedy) return complain(greedy.error());
  if (arguments.json) {
    std::cout << json::dump(json::object{{"t1", *sampled}, {"greedy", *greedy}}) << '\n';
    return ok;
  }
  table_rows rows{{"measure", "temperature 1", "greedy"}};
  auto row = [&](const std::string& name, std::string_view key) {
    auto cell = [&](const json::object& from) {
      const double x = values::number(from, key);
      if (x != x) return std::string("–");
      char text[64];
      if (auto ci = values::interval(from, std::string(key) + "_ci95"))
        std::snprintf(text, sizeof text, "%.3f [%.3f, %.3f]", x, (*ci)[0], (*ci)[1]);
      else
        std::snprintf(text, sizeof text, "%.3f", x);
      return std::string(text);
    };
    rows.push_back({name, cell(*sampled), cell(*greedy)});
  };
  row("pass@1", "pass_at_1");
  row("pass@4", "pass_at_4");
  row("turns", "mean_turns");
  row("tool calls", "mean_tool_calls");
  row("format errors", "format_error_rate");
  std::cout << render_table(rows);
  return ok;
}

} // namespace troupe::cli

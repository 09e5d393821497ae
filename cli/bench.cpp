#include "cli/bench_engine.hpp"
#include "cli/bench_learner.hpp"
#include "cli/bench_runs.hpp"
#include "cli/commands.hpp"
#include "cli/report_values.hpp"
#include "cli/tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

/// The figures of the quickstart as benchmarks: each runs this program as a user would, in processes of its own, and prints what it
/// saw beside what is asked for. Nothing here decides an exit code but a run that failed: a benchmark is not a test.
namespace troupe::cli {

namespace {

/// Pass rates before and after over seeds, and the times of the stages.
int quickstart(const bench_arguments& arguments) {
  table_rows rows{{"seed", "T=1 before", "T=1 after", "greedy before", "greedy after", "warm-up s", "RL s",
                   "eval s", "total s", "staleness", "logprob gap"}};
  std::vector<double> sums(10, 0.0);
  double least_gain = 1, worst_before = 0;
  for (int seed = 1; seed <= arguments.seeds; ++seed) {
    auto run = train_child(arguments, "bench-quickstart-" + std::to_string(seed),
                           {"seed=" + std::to_string(seed), "warmup.cache=false"});
    if (!run) return complain(run.error());
    const auto* said = run->last("report");
    const auto* report = said ? values::object(*said, "report") : nullptr;
    if (!report) return complain({errc::internal, "the run printed no report"});
    const std::vector<double> found = {values::number(*report, "heldout.before.pass_at_1"),
                                       values::number(*report, "heldout.after.pass_at_1"),
                                       values::number(*report, "heldout.before.greedy"),
                                       values::number(*report, "heldout.after.greedy"),
                                       values::number(*report, "seconds.warmup"),
                                       values::number(*report, "seconds.rl"),
                                       values::number(*report, "seconds.eval"),
                                       run->seconds,
                                       values::number(*report, "max_staleness"),
                                       values::number(*report, "max_logprob_gap")};
    std::vector<std::string> row{std::to_string(seed)};
    for (std::size_t i = 0; i < found.size(); ++i) {
      sums[i] += found[i];
      row.push_back(i == 9 ? fixed(found[i] * 1e6, 1) + "e-6" : fixed(found[i], i < 4 ? 3 : 0));
    }
    rows.push_back(std::move(row));
    least_gain = std::min(least_gain, found[1] - found[0]);
    worst_before = std::max(worst_before, found[0]);
  }
  std::vector<std::string> mean{"mean"};
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const double x = sums[i] / arguments.seeds;
    mean.push_back(i == 9 ? fixed(x * 1e6, 1) + "e-6" : fixed(x, i < 4 ? 3 : 0));
  }
  rows.push_back(std::move(mean));
  rows.push_back(
      {"asked", "<= 0.350", ">= 0.650", "", ">= 0.850", "<= 360", "<= 480", "", "", "<= eta", "<= 50e-6"});
  std::cout << render_table(rows) << "smallest gain of a seed at temperature 1: " << fixed(least_gain)
            << " (asked: 0.200)\n";
  return ok;
}

struct variant {
  std::string name;
  std::vector<std::string> words;
};

/// Mean reward of the last third of the steps: is the learning the same?
double late_reward(const child_result& run) {
  std::vector<double> rewards;
  for (const auto& r : run.records)
    if (values::text(r, "kind") == "step") rewards.push_back(values::number(r, "reward_mean"));
  const auto from = rewards.size() - rewards.size() / 3;
  double sum = 0;
  for (auto i = from; i < rewards.size(); ++i) sum += rewards[i];
  return rewards.size() < 3 ? std::nan("") : sum / static_cast<double>(rewards.size() - from);
}

/// Two ways to the same number of consumed rollouts, tool calls with a heavy tail (p99 = 10 x median), in turn, seed by seed.
int compare(const bench_arguments& arguments, const variant& slow, const variant& fast, double asked) {
  const std::vector<std::string> common = {"rl.steps=" + std::to_string(arguments.steps),
                                           "eval.before=false",
                                           "eval.every=0",
                                           "eval.questions=1",
                                           "eval.samples=1",
                                           "tools.simulated_latency=" + fixed(arguments.latency, 4),
                                           "tools.simulated_tail=10",
                                           "tools.timeout=60"};
  table_rows rows{
      {"seed", slow.name + " s", fast.name + " s", "ratio", "reward " + slow.name, "reward " + fast.name}};
  double log_sum = 0;
  for (int round = 1; round <= arguments.seeds; ++round) {
    double time[2], reward[2];
    int n = 0;
    for (const auto* each : {&slow, &fast}) {
      auto words = common;
      words.push_back("seed=" + std::to_string(round));
      words.insert(words.end(), each->words.begin(), each->words.end());
      auto run = train_child(arguments, "bench-" + each->name + "-" + std::to_string(round), words);
      if (!run) return complain(run.error());
      const auto* step = run->last("step");
      time[n] = step ? values::number(*step, "seconds") : std::nan("");
      reward[n++] = late_reward(*run);
    }
    log_sum += std::log(time[0] / time[1]);
    rows.push_back({std::to_string(round), fixed(time[0], 1), fixed(time[1], 1), fixed(time[0] / time[1], 2),
                    fixed(reward[0]), fixed(reward[1])});
  }
  std::cout << render_table(rows) << fast.name << " is " << fixed(std::exp(log_sum / arguments.seeds), 2)
            << "x as fast as " << slow.name << " (geometric mean; asked: " << fixed(asked, 1)
            << "); tool time: log-normal, median " << fixed(arguments.latency, 3)
            << " s, p99 10x; reward: mean of the last third of the steps\n";
  return ok;
}

int async_ratio(const bench_arguments& arguments) {
  const std::string slots = "rollout.max_concurrent=256";
  return compare(arguments, {"sync", {"rl.mode=sync", slots}},
                 {"async", {"rl.mode=async", "rl.eta=2", slots}}, 1.5);
}

/// The same asynchronous run with and without parking rollouts that wait long for their tools.
int partial_ratio(const bench_arguments& arguments) {
  const std::string budget = "rollout.time_budget=" + fixed(2 * arguments.latency, 4);
  return compare(arguments, {"whole", {"rollout.time_budget=86400"}}, {"partial", {budget}}, 1.5);
}

/// CPU time of every thread that is neither the engine's nor the learner's, as a share of the run's wall clock, without what it
/// spent inside of tools, on making data and tokenizer and on the report: supervision, messaging, timers and the store, and also
/// parsing, tokenising and the live view, which the same threads do. An upper bound.
int overhead(const bench_arguments& arguments) {
  auto run = train_child(arguments, "bench-overhead", {"warmup.cache=false"});
  if (!run) return complain(run.error());
  const auto* usage = run->last("usage");
  if (!usage) return complain({errc::internal, "the run told no usage"});
  const double tools = json::number_at(*usage, "tool_cpu_seconds").value_or(0);
  const double data = json::number_at(*usage, "data_and_report_cpu_seconds").value_or(0);
  table_rows rows{{"thread", "CPU s", "share of wall clock"}};
  double other = 0;
  auto row = [&](const std::string& name, double used) {
    rows.push_back({name, fixed(used, 2), fixed(100 * used / run->seconds, 2) + " %"});
  };
  for (const auto& [name, used] : run->cpu) {
    row(name, used);
    if (name != "engine" && name != "learner") other += used;
  }
  row("of the others: inside of tools", tools);
  row("of the others: data, tokenizer, report", data);
  std::cout
      << render_table(rows)
      << "supervision, messaging and store (all but engine, learner, tools and data; parsing, tokenizing "
         "and the live view too): "
      << fixed(other - tools - data, 2) << " CPU s, " << fixed(100 * (other - tools - data) / run->seconds, 2)
      << " % of " << fixed(run->seconds, 1) << " s (asked: at most 3 %)\n";
  return ok;
}

/// What a command without a model costs.
int startup(const bench_arguments&) {
  std::vector<double> times;
  double peak = 0;
  for (int i = 0; i < 20; ++i) {
    auto run = run_child({"--help"});
    if (!run) return complain(run.error());
    times.push_back(run->seconds);
    peak = std::max(peak, run->peak_mib);
  }
  std::sort(times.begin(), times.end());
  std::cout << "troupe --help: median " << fixed(1000 * times[10], 1) << " ms, worst of 20 "
            << fixed(1000 * times.back(), 1) << " ms (asked: 100); peak memory " << fixed(peak, 1)
            << " MiB (asked: 300)\n";
  return ok;
}

} // namespace

int bench(const bench_arguments& arguments) {
  if (arguments.name == "quickstart") return quickstart(arguments);
  if (arguments.name == "async") return async_ratio(arguments);
  if (arguments.name == "partial") return partial_ratio(arguments);
  if (arguments.name == "soak") return bench_soak(arguments);
  if (arguments.name == "overhead") return overhead(arguments);
  if (arguments.name == "startup") return startup(arguments);
  if (arguments.name == "learner") return bench_learner(arguments);
  if (arguments.name == "engine") return bench_engine(arguments);
  if (arguments.name == "tokenizer") return bench_tokenizer(arguments);
  return complain({errc::invalid, "no benchmark \"" + arguments.name +
                                      "\"; expected quickstart, async, partial, soak, overhead, startup, "
                                      "learner, engine, tokenizer, idle or "
                                      "restart"});
}

} // namespace troupe::cli

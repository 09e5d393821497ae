#include "cli/bench_runs.hpp"

#include "cli/fault_table.hpp"
#include "cli/report_values.hpp"
#include "runtime/base/clock.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>

/// The soak's run with and without its faults, for as many steps or for as long: how much useful work is left, is anything lost or
/// counted twice, is the policy as good, do memory and open files stay flat?
namespace troupe::cli {

namespace {

struct soaked {
  child_result run;
  double first = 0, last = 0; ///< when training began and ended, seconds of the process
};

/// Least squares, MiB an hour, over the samples of the training but for its first fifth, in which caches fill.
double rss_slope(const soaked& it) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  const double from = it.first + 0.2 * (it.last - it.first);
  for (const auto& s : it.run.samples) {
    if (s.seconds < from || s.seconds > it.last) continue;
    ++n, x += s.seconds, y += s.rss_mib, xx += s.seconds * s.seconds, xy += s.seconds * s.rss_mib;
  }
  const double spread = n * xx - x * x;
  return n < 3 || spread <= 0 ? std::nan("") : 3600 * (n * xy - x * y) / spread;
}

/// Memory and open files at the quarters of the training.
table_rows over_time(const std::string& name, const soaked& it, table_rows rows) {
  for (int quarter = 0; quarter <= 4; ++quarter) {
    const double at = it.first + quarter * (it.last - it.first) / 4;
    const child_result::sample* nearest = nullptr;
    for (const auto& s : it.run.samples)
      if (!nearest || std::abs(s.seconds - at) < std::abs(nearest->seconds - at)) nearest = &s;
    if (nearest)
      rows.push_back({quarter == 0 ? name : "", fixed(at - it.first, 0), fixed(nearest->rss_mib, 1),
                      std::to_string(nearest->descriptors)});
  }
  return rows;
}

/// Seconds of each step, and by how many tens its rollouts carried a signal: that many the learner computes on.
std::vector<std::pair<int, double>> step_times(const child_result& run) {
  std::vector<std::pair<int, double>> out;
  double before = std::nan("");
  for (const auto& r : run.records) {
    if (values::text(r, "kind") != "step") continue;
    const double at = values::number(r, "seconds");
    if (!std::isnan(before))
      out.emplace_back(static_cast<int>(values::number(r, "trained")) / 10, at - before);
    before = at;
  }
  return out;
}

/// How long the clean run would have taken for the other's steps, over how long the other took. Policies differ after a while, and the one
/// that has more to learn from has longer steps; so each step is held against clean ones with as many rollouts of a signal.
double useful_at_equal_work(const child_result& clean, const child_result& other) {
  std::map<int, std::pair<double, int>> cost; // tens -> seconds, steps
  for (const auto& [tens, time] : step_times(clean)) cost[tens].first += time, ++cost[tens].second;
  if (cost.empty()) return std::nan("");
  double expected = 0, taken = 0;
  for (const auto& [tens, time] : step_times(other)) {
    auto it = cost.lower_bound(tens);
    if (it == cost.end()) --it;
    expected += it->second.first / it->second.second;
    taken += time;
  }
  return expected / taken;
}

expected<soaked> train(const bench_arguments& arguments, const std::string& name,
                       const std::vector<std::string>& words) {
  soaked out;
  const auto start = system_clock().now();
  auto run = train_child(arguments, name, words, [&](const json::object& record) {
    if (values::text(record, "kind") != "step") return;
    out.last = seconds(system_clock().now() - start);
    if (out.first == 0) out.first = out.last;
  });
  if (!run) return fail(run.error());
  out.run = std::move(*run);
  return out;
}

} // namespace

int bench_soak(const bench_arguments& given) {
  auto arguments = given;
  if (arguments.config == bench_arguments{}.config) arguments.config = "configs/faults/soak.yaml";
  const bool timed = arguments.minutes > 0;
  // By time there are more steps than fit, and a constant learning rate.
  std::vector<std::string> words{"rl.steps=" + std::to_string(timed ? 100'000 : arguments.steps)};
  if (timed)
    words.insert(words.end(), {"rl.time_limit=" + fixed(60 * arguments.minutes, 1), "rl.lr_final_share=1"});
  auto quiet = words;
  quiet.insert(quiet.end(), {"faults.enabled=false", "faults.plan=[]"});
  table_rows rows{{"run", "RL s", "steps", "steps a second", "restarts", "lost", "duplicated", "T=1 after",
                   "greedy after", "RSS slope MiB/h", "open files"}};
  table_rows memory{{"run", "RL s", "RSS MiB", "open files"}};
  double pace[2];
  std::vector<child_result> both;
  std::string faults;
  int n = 0;
  for (const auto& [name, more] : {std::pair{std::string("clean"), quiet}, {std::string("soak"), words}}) {
    auto it = train(arguments, "bench-" + name, more);
    if (!it) return complain(it.error());
    const auto* step = it->run.last("step");
    const auto* said = it->run.last("report");
    const auto* report = said ? values::object(*said, "report") : nullptr;
    if (!step || !report) return complain({errc::internal, "the run printed no step or no report"});
    auto summary = summarize_faults(run_folder{values::text(*report, "run")});
    if (!summary) return complain(summary.error());
    const double spent = values::number(*step, "seconds"), steps = values::number(*step, "step");
    pace[n++] = steps / spent;
    int least = 1 << 30, most = 0;
    for (const auto& s : it->run.samples)
      if (s.seconds >= it->first && s.seconds <= it->last)
        least = std::min(least, s.descriptors), most = std::max(most, s.descriptors);
    rows.push_back({name, fixed(spent, 1), fixed(steps, 0), fixed(steps / spent, 3),
                    fixed(values::number(*step, "restarts"), 0), fixed(values::number(*summary, "lost"), 0),
                    fixed(values::number(*summary, "duplicated"), 0),
                    fixed(values::number(*report, "heldout.after.pass_at_1")),
                    fixed(values::number(*report, "heldout.after.greedy")), fixed(rss_slope(*it), 1),
                    std::to_string(least) + " to " + std::to_string(most)});
    memory = over_time(name, *it, std::move(memory));
    if (!summary->at("faults").get_array().empty())
      faults = render_table(fault_rows(*summary)) + fault_totals(*summary) + "\n";
    both.push_back(std::move(it->run));
  }
  std::cout << render_table(rows) << '\n'
            << render_table(memory) << '\n'
            << faults << "useful work under faults: " << fixed(100 * pace[1] / pace[0], 1)
            << " % of the clean run's steps in the same time, "
            << fixed(100 * useful_at_equal_work(both[0], both[1]), 1)
            << " % at as many rollouts with a signal a step (asked: at least 90 %)\n";
  return ok;
}

} // namespace troupe::cli

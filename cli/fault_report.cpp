#include "cli/commands.hpp"

#include "actors/ledger.hpp"
#include "cli/run_report.hpp"
#include "cli/tables.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>

namespace troupe::cli {

namespace {

/// What came of all strikes of one kind at one kind of actor.
struct tally {
  std::size_t strikes = 0;
  std::vector<double> detected, recovered; ///< milliseconds, sorted
};

double percentile(const std::vector<double>& sorted, double share) {
  const auto place = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
  return sorted[place];
}

json::value percentile_json(const std::vector<double>& sorted, double share) {
  return sorted.empty() ? json::value(nullptr) : json::value(percentile(sorted, share));
}

std::string percentile_text(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return "–";
  char out[32];
  std::snprintf(out, sizeof out, "%.2f", percentile(sorted, share));
  return out;
}

expected<std::map<std::pair<std::string, std::string>, tally>> read_tallies(event_store& store) {
  auto records = store.read_kind("fault");
  if (!records) return fail(records.error());
  std::map<std::pair<std::string, std::string>, tally> out;
  for (const auto& r : *records) {
    auto body = json::parse(r.body);
    if (!body || !body->is_object())
      return fail(errc::corrupt,
                  "record " + r.key + " (seq " + std::to_string(r.seq) + ") is not a JSON object");
    const auto& o = body->get_object();
    auto what = json::string_at(o, "what"), who = json::string_at(o, "who"),
         point = json::string_at(o, "point");
    if (!what || !who || !point)
      return fail(errc::corrupt, "record " + r.key + ": expected what, who and point");
    auto& it = out[{*what + (point->empty() ? "" : " at " + *point), who->substr(0, who->find('/'))}];
    ++it.strikes;
    if (auto ms = json::number_at(o, "detected_ms")) it.detected.push_back(*ms);
    if (auto ms = json::number_at(o, "recovered_ms")) it.recovered.push_back(*ms);
  }
  for (auto& [key, it] : out) {
    std::sort(it.detected.begin(), it.detected.end());
    std::sort(it.recovered.begin(), it.recovered.end());
  }
  return out;
}

} // namespace

int fault_report(const fault_report_arguments& arguments) {
  const run_folder folder{arguments.run};
  auto config = folder.config();
  if (!config) return complain(config.error());
  auto store = folder.store();
  if (!store) return complain(store.error());
  auto tallies = read_tallies(**store);
  if (!tallies) return complain(tallies.error());
  auto sheet = count_balance(**store, static_cast<int>(config->rl.group_size));
  if (!sheet) return complain(sheet.error());
  json::array list;
  table_rows rows{{"fault", "of", "strikes", "detected p50 ms", "p99", "recovered p50 ms", "p99"}};
  for (const auto& [key, it] : *tallies) {
    list.push_back(json::object{{"fault", key.first},
                                {"kind", key.second},
                                {"strikes", it.strikes},
                                {"detected", it.detected.size()},
                                {"detected_ms_p50", percentile_json(it.detected, .5)},
                                {"detected_ms_p99", percentile_json(it.detected, .99)},
                                {"recovered", it.recovered.size()},
                                {"recovered_ms_p50", percentile_json(it.recovered, .5)},
                                {"recovered_ms_p99", percentile_json(it.recovered, .99)}});
    rows.push_back({key.first, key.second, std::to_string(it.strikes), percentile_text(it.detected, .5),
                    percentile_text(it.detected, .99), percentile_text(it.recovered, .5),
                    percentile_text(it.recovered, .99)});
  }
  const bool balanced = sheet->holds();
  if (arguments.json) {
    std::cout << json::dump(json::object{
                     {"faults", std::move(list)}, {"rollouts", to_json(*sheet)}, {"balanced", balanced}})
              << '\n';
  } else if (tallies->empty()) {
    std::cout << "No fault was injected into this run.\n";
  } else {
    std::cout << render_table(rows) << "rollouts: accepted " << sheet->accepted << " = trained "
              << sheet->trained << " + pending " << sheet->pending << " + parked " << sheet->parked
              << " + retired " << sheet->retired_total() << (balanced ? "" : "  DOES NOT HOLD") << '\n';
  }
  return balanced ? ok : failed;
}

} // namespace troupe::cli

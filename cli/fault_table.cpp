#include "cli/fault_table.hpp"

#include "actors/audit.hpp"
#include "actors/record_body.hpp"
#include "cli/report_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

namespace troupe::cli {

namespace {

/// What came of all strikes of one kind at one kind of actor.
struct tally {
  std::uint64_t strikes = 0, turns = 0, steps = 0;
  std::vector<double> detected, recovered; ///< milliseconds, sorted
};
using tallies = std::map<std::pair<std::string, std::string>, tally>;

json::value percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return nullptr;
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

void add_outcome(tally& to, const json::object& body) {
  if (auto ms = json::number_at(body, "detected_ms")) to.detected.push_back(*ms);
  if (auto ms = json::number_at(body, "recovered_ms")) to.recovered.push_back(*ms);
  to.turns += static_cast<std::uint64_t>(json::int_at(body, "turns_redone").value_or(0));
  to.steps += static_cast<std::uint64_t>(json::int_at(body, "steps_redone").value_or(0));
}

/// A strike is one record, its consequences another, with the same number.
expected<tallies> read_tallies(event_store& store) {
  auto strikes = store.read_kind("fault");
  if (!strikes) return fail(strikes.error());
  auto outcomes = store.read_kind("fault_outcome");
  if (!outcomes) return fail(outcomes.error());
  tallies out;
  std::map<std::string, tally*> by_number;
  for (const auto& r : *strikes) {
    auto body = body_of(r);
    if (!body) return fail(body.error());
    auto what = json::string_at(*body, "what"), who = json::string_at(*body, "who"),
         point = json::string_at(*body, "point");
    if (!what || !who || !point)
      return fail(errc::corrupt, "record " + r.key + ": expected what, who and point");
    auto& it = out[{*what + (point->empty() ? "" : " at " + *point), who->substr(0, who->find('/'))}];
    it.strikes += static_cast<std::uint64_t>(json::int_at(*body, "count").value_or(1));
    add_outcome(it, *body); // an older run's: both in one
    by_number[r.key.substr(r.key.find('/'))] = &it;
  }
  for (const auto& r : *outcomes) {
    auto body = body_of(r);
    if (!body) return fail(body.error());
    if (auto found = by_number.find(r.key.substr(r.key.find('/'))); found != by_number.end())
      add_outcome(*found->second, *body);
  }
  for (auto& [key, it] : out) {
    std::sort(it.detected.begin(), it.detected.end());
    std::sort(it.recovered.begin(), it.recovered.end());
  }
  return out;
}

std::string cell(const json::object& row, const char* key) {
  const auto* v = row.if_contains(key);
  if (!v || !v->is_number()) return "–";
  if (v->is_int64() || v->is_uint64()) return json::dump(*v);
  char out[32];
  std::snprintf(out, sizeof out, "%.2f", v->to_number<double>());
  return out;
}

} // namespace

expected<json::object> summarize_faults(const run_folder& folder, const run_config& config,
                                        event_store& store) {
  auto found = read_tallies(store);
  if (!found) return fail(found.error());
  auto books = audit_run(folder.path, config);
  if (!books) return fail(books.error());
  json::array list;
  std::uint64_t strikes = 0, turns = 0, steps = 0;
  for (const auto& [key, it] : *found) {
    strikes += it.strikes;
    turns += it.turns;
    steps += it.steps;
    list.push_back(json::object{{"fault", key.first},
                                {"kind", key.second},
                                {"strikes", it.strikes},
                                {"detected", it.detected.size()},
                                {"detected_ms_p50", percentile(it.detected, .5)},
                                {"detected_ms_p99", percentile(it.detected, .99)},
                                {"recovered", it.recovered.size()},
                                {"recovered_ms_p50", percentile(it.recovered, .5)},
                                {"recovered_ms_p99", percentile(it.recovered, .99)},
                                {"turns_redone", it.turns},
                                {"steps_redone", it.steps}});
  }
  const auto& sheet = books->at("rollouts").get_object();
  double rest = values::number(sheet, "accepted");
  for (const char* part : {"trained", "pending", "parked"}) rest -= values::number(sheet, part);
  for (const auto& [reason, count] : sheet.at("retired").get_object()) rest -= count.to_number<double>();
  std::uint64_t doubled = 0;
  for (const auto& one : books->at("problems").get_array()) {
    const auto code = values::text(one.get_object(), "code");
    doubled += code == "trained_twice" || code == "retired_twice" || code == "trained_and_retired";
  }
  return json::object{{"faults", std::move(list)},
                      {"strikes", strikes},
                      {"turns_redone", turns},
                      {"steps_redone", steps},
                      {"lost", static_cast<std::int64_t>(std::llround(std::max(0.0, rest)))},
                      {"duplicated", doubled},
                      {"rollouts", sheet},
                      {"balanced", rest == 0 && doubled == 0}};
}

expected<json::object> summarize_faults(const run_folder& folder) {
  auto config = folder.config();
  if (!config) return fail(config.error());
  auto store = folder.store();
  if (!store) return fail(store.error());
  return summarize_faults(folder, *config, **store);
}

table_rows fault_rows(const json::object& summary) {
  table_rows rows{{"fault", "of", "strikes", "detected p50 ms", "p99", "recovered p50 ms", "p99",
                   "turns redone", "steps redone"}};
  for (const auto& one : summary.at("faults").get_array()) {
    const auto& row = one.get_object();
    rows.push_back({values::text(row, "fault"), values::text(row, "kind"), cell(row, "strikes"),
                    cell(row, "detected_ms_p50"), cell(row, "detected_ms_p99"), cell(row, "recovered_ms_p50"),
                    cell(row, "recovered_ms_p99"), cell(row, "turns_redone"), cell(row, "steps_redone")});
  }
  return rows;
}

std::string fault_totals(const json::object& summary) {
  const auto& sheet = summary.at("rollouts").get_object();
  double retired = 0;
  for (const auto& [reason, count] : sheet.at("retired").get_object()) retired += count.to_number<double>();
  auto of = [&](const char* key) { return cell(sheet, key); };
  return "strikes: " + cell(summary, "strikes") + "; redone: " + cell(summary, "turns_redone") + " turns, " +
         cell(summary, "steps_redone") + " steps; lost: " + cell(summary, "lost") +
         "; duplicated: " + cell(summary, "duplicated") + "\nrollouts: accepted " + of("accepted") +
         " = trained " + of("trained") + " + pending " + of("pending") + " + parked " + of("parked") +
         " + retired " + std::to_string(std::llround(retired)) +
         (summary.at("balanced").as_bool() ? "" : "  DOES NOT HOLD");
}

} // namespace troupe::cli

#include "cli/commands.hpp"

#include "actors/audit.hpp"
#include "cli/run_folder.hpp"
#include "cli/tables.hpp"

#include <iostream>

namespace troupe::cli {

namespace {

std::string as_text(const json::value& v) {
  return v.is_string() ? std::string(v.get_string()) : json::dump(v);
}

void print(const json::object& facts) {
  const auto& sheet = facts.at("rollouts").get_object();
  table_rows rows{{"rollouts", "count"}};
  for (const char* what : {"accepted", "trained", "pending", "parked"})
    rows.push_back({what, as_text(sheet.at(what))});
  for (const auto& [reason, count] : sheet.at("retired").get_object())
    rows.push_back({"retired: " + std::string(reason), as_text(count)});
  std::cout << render_table(rows) << '\n';
  const auto& consumptions = facts.at("consumptions").get_object();
  std::cout << as_text(consumptions.at("counted")) << " steps consumed each of their rollouts once ("
            << as_text(consumptions.at("undone")) << " steps were undone)\n";
  std::size_t good = 0;
  const auto& checkpoints = facts.at("checkpoints").get_array();
  for (const auto& one : checkpoints) good += one.at("verified").as_bool();
  std::cout << good << " of " << checkpoints.size() << " checkpoints verified; "
            << as_text(facts.at("store").at("records")) << " records verified\n";
}

} // namespace

int audit(const audit_arguments& arguments) {
  const run_folder folder{arguments.run};
  auto config = folder.config();
  if (!config) return complain(config.error());
  auto facts = audit_run(folder.path, *config);
  if (!facts) return complain(facts.error());
  const bool balanced = facts->at("balanced").as_bool();
  if (arguments.json) {
    std::cout << json::dump(*facts) << '\n';
  } else {
    if (balanced) print(*facts);
    std::cout << (balanced ? "balanced\n" : "NOT balanced\n");
  }
  for (const auto& one : facts->at("problems").as_array())
    std::cerr << "troupe: " << as_text(one.at("code")) << ": " << as_text(one.at("text")) << '\n';
  return balanced ? ok : failed;
}

} // namespace troupe::cli

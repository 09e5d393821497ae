#include "cli/commands.hpp"

#include "cli/fault_table.hpp"

#include <iostream>

namespace troupe::cli {

int fault_report(const fault_report_arguments& arguments) {
  auto summary = summarize_faults(run_folder{arguments.run});
  if (!summary) return complain(summary.error());
  if (arguments.json)
    std::cout << json::dump(*summary) << '\n';
  else if (summary->at("faults").get_array().empty())
    std::cout << "No fault was injected into this run.\n";
  else
    std::cout << render_table(fault_rows(*summary)) << fault_totals(*summary) << '\n';
  return summary->at("balanced").as_bool() ? ok : failed;
}

} // namespace troupe::cli

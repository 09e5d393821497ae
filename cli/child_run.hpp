#pragma once

#include "runtime/base/json.hpp"
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace troupe::cli {

/// What a run in a process of its own came to.
struct child_result {
  int exit_code = 0;
  double seconds = 0;                ///< wall clock of the process
  std::vector<json::object> records; ///< everything it said with --progress json
  std::map<std::string, double> cpu; ///< CPU seconds by thread name, as last seen (sampled twice a second)
  double peak_mib = 0;
  /// Memory and open files over its life, twice a second.
  struct sample {
    double seconds = 0, rss_mib = 0;
    int descriptors = 0;
  };
  std::vector<sample> samples;
  /// The last record of that kind; null if none.
  const json::object* last(std::string_view kind) const;
};

/// Runs this program again with these arguments, reading its JSON lines. `heard` sees each as it comes. Errors: io.
expected<child_result> run_child(const std::vector<std::string>& arguments,
                                 const std::function<void(const json::object&)>& heard = {});

} // namespace troupe::cli

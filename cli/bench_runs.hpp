#pragma once

#include "cli/child_run.hpp"
#include "cli/commands.hpp"

namespace troupe::cli {

// What the benchmarks share: runs of this program, and figures as text.

/// "–" for what was not measured.
std::string fixed(double x, int digits = 3);

/// One training run in a process of its own, with these words on top of the benchmark's. `heard` sees each record as it comes.
/// Errors: internal (it failed), io.
expected<child_result> train_child(const bench_arguments& arguments, const std::string& name,
                                   std::vector<std::string> more,
                                   const std::function<void(const json::object&)>& heard = {});

/// `troupe bench soak` (bench_soak.cpp).
int bench_soak(const bench_arguments& arguments);

} // namespace troupe::cli

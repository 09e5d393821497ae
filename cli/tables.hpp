#pragma once

#include "runtime/base/json.hpp"
#include <string>
#include <vector>

namespace troupe {

/// Rows of cells, the first of which is the head. The first column is aligned left, the others right.
using table_rows = std::vector<std::vector<std::string>>;

/// For a terminal: columns two spaces apart, a line below the head, every line ends in "\n". Cells are made
/// printable.
std::string render_table(const table_rows& rows);

/// What training changed, from the report (`heldout.before`, `heldout.after`): pass@1 at temperature 1 and
/// greedy, pass@4, each with its 95 % interval, by hop count, then turns, tool calls and format errors.
/// Columns: measure, before, after, change. What was not measured is "–".
table_rows before_after_rows(const json::object& report);

/// accepted = trained + pending + parked + retired, by reason, from the report (`rollouts`). Columns: fate,
/// rollouts, share.
table_rows balance_rows(const json::object& report);

/// Whether the balance of the report adds up; true if the report has none.
bool balance_holds(const json::object& report);

/// What is printed at the end of a run: the before/after table, the balance in a line, the paths of the
/// files.
std::string closing_summary(const json::object& report);

} // namespace troupe

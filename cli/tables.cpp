#include "cli/tables.hpp"

#include "cli/report_values.hpp"
#include "cli/terminal_text.hpp"
#include <algorithm>
#include <cmath>
#include <set>

namespace troupe {

namespace {

using namespace values;

using shape = std::string (*)(double);

std::string as_rate(double x) { return fixed(x, 3); }
std::string as_count(double x) { return fixed(x, 2); }
std::string as_percent(double x) { return percent(x); }

std::string with_interval(double value, const std::optional<std::array<double, 2>>& between, shape as) {
  std::string out = as(value);
  if (between && std::isfinite(value)) out += " (" + as((*between)[0]) + " – " + as((*between)[1]) + ")";
  return out;
}

std::string change(double before, double after, shape as) {
  if (!std::isfinite(before) || !std::isfinite(after)) return "–";
  std::string out = (after >= before ? "+" : "") + as(after - before);
  if (out.ends_with(" %")) out.replace(out.size() - 1, 1, "points");
  return out;
}

struct side {
  double value;
  std::optional<std::array<double, 2>> between;
};

void add(table_rows& rows, const std::string& name, const side& before, const side& after, shape as) {
  if (!std::isfinite(before.value) && !std::isfinite(after.value)) return;
  rows.push_back({name, with_interval(before.value, before.between, as),
                  with_interval(after.value, after.between, as), change(before.value, after.value, as)});
}

side measured(const json::object& report, const std::string& when, const std::string& key) {
  return {number(report, "heldout." + when + "." + key),
          interval(report, "heldout." + when + "." + key + "_ci95")};
}

void add_hops(table_rows& rows, const json::object& report, const std::string& measure,
              const std::string& interval_key) {
  std::set<std::pair<int, std::string>> hops; // by number, "10" after "9"
  for (const auto* when : {"before", "after"})
    if (const auto* by = object(report, std::string("heldout.") + when + ".by_hops"))
      for (const auto& field : *by) hops.emplace(std::atoi(std::string(field.key()).c_str()), field.key());
  for (const auto& [count, key] : hops) {
    const auto at = [&](const char* when) {
      const std::string path = std::string("heldout.") + when + ".by_hops." + key;
      return side{number(report, path + "." + measure), interval(report, path + "." + interval_key)};
    };
    auto questions = number(report, "heldout.after.by_hops." + key + ".n");
    if (!std::isfinite(questions)) questions = number(report, "heldout.before.by_hops." + key + ".n");
    add(rows, "  " + key + (count == 1 ? " hop" : " hops") + ", " + grouped(questions) + " questions",
        at("before"), at("after"), as_rate);
  }
}

} // namespace

std::string render_table(const table_rows& rows) {
  table_rows cells;
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    auto& out = cells.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) {
      out.push_back(printable(row[i]));
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], display_width(out.back()));
    }
  }
  std::string out;
  for (std::size_t r = 0; r < cells.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < cells[r].size(); ++i)
      line += i == 0 ? pad_right(cells[r][i], widths[i]) : "  " + pad_left(cells[r][i], widths[i]);
    while (line.ends_with(' ')) line.pop_back();
    out += line + "\n";
    if (r > 0) continue;
    std::size_t columns = 2 * (widths.size() - 1);
    for (const auto width : widths) columns += width;
    for (std::size_t i = 0; i < columns; ++i) out += "─";
    out += "\n";
  }
  return out;
}

table_rows before_after_rows(const json::object& report) {
  table_rows rows = {{"held-out", "before (95 %)", "after (95 %)", "change"}};
  const auto row = [&](const std::string& name, const std::string& key, shape as) {
    add(rows, name, measured(report, "before", key), measured(report, "after", key), as);
  };
  row("pass@1", "pass_at_1", as_rate);
  add_hops(rows, report, "pass_at_1", "ci95");
  row("pass@1, greedy", "greedy", as_rate);
  row("pass@4", "pass_at_4", as_rate);
  add_hops(rows, report, "pass_at_4", "pass_at_4_ci95");
  row("turns", "mean_turns", as_count);
  row("tool calls", "mean_tool_calls", as_count);
  row("format errors", "format_error_rate", as_percent);
  return rows;
}

table_rows balance_rows(const json::object& report) {
  table_rows rows = {{"fate", "rollouts", "share"}};
  const double accepted = number(report, "rollouts.accepted");
  const auto row = [&](const std::string& name, double count) {
    if (std::isfinite(count))
      rows.push_back({name, grouped(count), accepted > 0 ? percent(count / accepted) : "–"});
  };
  for (const auto* fate : {"trained", "pending", "parked"})
    row(fate, number(report, std::string("rollouts.") + fate));
  if (const auto* retired = object(report, "rollouts.retired"))
    for (const auto& reason : *retired)
      row("retired: " + std::string(reason.key()),
          reason.value().is_number() ? reason.value().to_number<double>() : no_number);
  row("accepted", accepted);
  return rows;
}

bool balance_holds(const json::object& report) {
  const double accepted = number(report, "rollouts.accepted");
  if (!std::isfinite(accepted)) return true;
  double sum = 0;
  for (const auto* fate : {"trained", "pending", "parked"})
    sum += number(report, std::string("rollouts.") + fate);
  if (const auto* retired = object(report, "rollouts.retired"))
    for (const auto& reason : *retired)
      sum += reason.value().is_number() ? reason.value().to_number<double>() : no_number;
  return sum == accepted;
}

std::string closing_summary(const json::object& report) {
  std::string out;
  if (const auto rows = before_after_rows(report); rows.size() > 1) out = "\n" + render_table(rows);
  if (const auto* rollouts = object(report, "rollouts")) {
    double retired = 0;
    if (const auto* reasons = object(*rollouts, "retired"))
      for (const auto& reason : *reasons)
        retired += reason.value().is_number() ? reason.value().to_number<double>() : 0;
    out += "\nrollouts: " + grouped(number(*rollouts, "accepted")) +
           " accepted = " + grouped(number(*rollouts, "trained")) + " trained + " +
           grouped(number(*rollouts, "pending")) + " pending + " + grouped(number(*rollouts, "parked")) +
           " parked + " + grouped(retired) + " retired" +
           (balance_holds(report) ? "" : "  (this does not add up)") + "\n";
  }
  if (const auto* files = object(report, "files")) {
    out += "\n";
    for (const auto& file : *files)
      if (const auto* path = file.value().if_string())
        out += pad_right(printable(std::string_view(file.key())), 12) + printable(std::string_view(*path)) +
               "\n";
  }
  return out;
}

} // namespace troupe

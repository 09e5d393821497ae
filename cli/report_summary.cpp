#include "cli/report_summary.hpp"

#include "cli/report_values.hpp"
#include "runtime/base/file.hpp"
#include <algorithm>
#include <cmath>
#include <map>

namespace troupe {

namespace {

using namespace values;

json::value or_null(double value) { return std::isfinite(value) ? json::value(value) : json::value(nullptr); }

json::value whole(double value) {
  return std::isfinite(value) ? json::value(static_cast<std::int64_t>(value)) : json::value(nullptr);
}

json::value copy_of(const json::object& from, std::string_view key) {
  const auto* found = from.if_contains(key);
  return found ? *found : json::value(nullptr);
}

/// The last evaluation of its kind; empty if there was none.
json::object last_evaluation(const std::vector<json::object>& records, std::string_view when,
                             std::string_view sampling) {
  json::object out;
  for (const auto& it : records)
    if (text(it, "kind") == "eval" && text(it, "when") == when && text(it, "sampling") == sampling) out = it;
  return out;
}

json::value measured(const std::vector<json::object>& records, std::string_view when) {
  const auto sampled = last_evaluation(records, when, "t1"),
             greedy = last_evaluation(records, when, "greedy");
  if (sampled.empty() && greedy.empty()) return nullptr;
  json::object out;
  for (const auto* key : {"step", "questions"}) out[key] = copy_of(sampled.empty() ? greedy : sampled, key);
  for (const std::string key :
       {"pass_at_1", "pass_at_4", "mean_turns", "mean_tool_calls", "format_error_rate"}) {
    out[key] = copy_of(sampled, key);
    out[key + "_ci95"] = copy_of(sampled, key + "_ci95");
  }
  out["greedy"] = copy_of(greedy, "pass_at_1");
  out["greedy_ci95"] = copy_of(greedy, "pass_at_1_ci95");
  out["by_hops"] = copy_of(sampled, "by_hops");
  return out;
}

json::array curve(const std::vector<json::object>& records) {
  std::map<std::int64_t, json::object> by_step;
  for (const auto& it : records) {
    const double step = number(it, "step");
    if (text(it, "kind") != "eval" || !std::isfinite(step)) continue;
    auto& point = by_step[static_cast<std::int64_t>(step)];
    if (text(it, "sampling") == "greedy") {
      point["greedy"] = copy_of(it, "pass_at_1");
    } else {
      point["pass_at_1"] = copy_of(it, "pass_at_1");
      point["pass_at_1_ci95"] = copy_of(it, "pass_at_1_ci95");
    }
  }
  json::array out;
  for (auto& [step, found] : by_step) {
    json::object point{{"step", step}, {"pass_at_1", copy_of(found, "pass_at_1")}};
    for (const auto* key : {"pass_at_1_ci95", "greedy"})
      if (found.contains(key)) point[key] = found[key];
    out.push_back(std::move(point));
  }
  return out;
}

json::object seconds_of(const std::vector<json::object>& records) {
  std::map<std::string, double> took;
  double last_step = no_number;
  for (const auto& it : records) {
    if (text(it, "kind") == "stage" && text(it, "state") == "done" && std::isfinite(number(it, "seconds")))
      took[text(it, "stage")] += number(it, "seconds");
    if (text(it, "kind") == "step") last_step = number(it, "seconds");
  }
  if (!took.contains("rl") && std::isfinite(last_step)) took["rl"] = last_step;
  double total = 0;
  for (const auto& [stage, spent] : took) total += spent;
  const auto of = [&](const char* stage) { return took.contains(stage) ? took[stage] : no_number; };
  const double before = of("eval_before"), after = of("eval_after");
  const double eval = std::isfinite(before) && std::isfinite(after) ? before + after
                      : std::isfinite(before)                       ? before
                                                                    : after;
  return {{"warmup", or_null(of("warmup"))},
          {"rl", or_null(of("rl"))},
          {"eval", or_null(eval)},
          {"total", total}};
}

double largest(const std::vector<json::object>& records, std::string_view key) {
  double out = no_number;
  for (const auto& it : records)
    if (text(it, "kind") == "step") out = std::fmax(out, number(it, key)); // fmax ignores what is missing
  return out;
}

/// The counter starts again at 0 in each process of a resumed run: what it reached in each is added.
double restarts(const std::vector<json::object>& records) {
  double sum = 0, last = 0;
  for (const auto& it : records) {
    const double now = number(it, "restarts");
    if (text(it, "kind") != "step" || !std::isfinite(now)) continue;
    if (now < last) sum += last;
    last = now;
  }
  return sum + last;
}

} // namespace

expected<std::vector<json::object>> read_metrics(const std::filesystem::path& jsonl) {
  auto bytes = read_file(jsonl);
  if (!bytes) return fail(bytes.error());
  std::vector<json::object> out;
  std::string_view rest = *bytes;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const auto end = rest.find('\n');
    const auto line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (line.empty()) continue;
    auto parsed = json::parse(line);
    if (parsed && parsed->is_object()) {
      out.push_back(std::move(parsed->as_object()));
    } else if (end != std::string_view::npos) {
      return fail(errc::corrupt,
                  jsonl.string() + ":" + std::to_string(number) + ": " +
                      (parsed ? "found a " + std::string(json::type_name(*parsed)) : parsed.error().message) +
                      ", expected a metric record");
    }
  }
  return out;
}

json::object summarize(const std::vector<json::object>& records, const json::object& extras) {
  json::object out;
  out["run"] = copy_of(extras, "run");
  out["heldout"] = json::object{{"before", measured(records, "before")},
                                {"after", measured(records, "after")},
                                {"curve", curve(records)}};
  out["steps"] = whole(largest(records, "step"));
  out["seconds"] = seconds_of(records);
  out["rollouts"] = copy_of(extras, "rollouts");
  out["restarts"] = whole(restarts(records));
  out["max_logprob_gap"] = or_null(largest(records, "max_logprob_gap"));
  out["max_staleness"] = whole(largest(records, "staleness_max"));
  for (const auto* key : {"cpu", "transcripts", "files"}) out[key] = copy_of(extras, key);
  for (const auto& field : extras)
    if (!out.contains(field.key())) out[field.key()] = field.value();
  return out;
}

} // namespace troupe

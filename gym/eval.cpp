#include "gym/eval.hpp"

#include <algorithm>
#include <map>

namespace troupe {

namespace {

using values = std::vector<double>;

json::value interval(const estimate& of, bool share) {
  const auto bound = [&](double x) { return share ? std::clamp(x, 0.0, 1.0) : std::max(x, 0.0); };
  return json::array{bound(of.ci95[0]), bound(of.ci95[1])};
}

void put(json::object& out, const std::string& name, const estimate& of, bool share) {
  out[name] = of.n ? json::value(of.mean) : json::value(nullptr);
  out[name + "_ci95"] = of.n ? interval(of, share) : json::value(nullptr);
}

estimate passes(const std::vector<const question_result*>& results, int k) {
  values each;
  for (const auto* one : results)
    if (auto p = pass_at_k(one->samples, one->correct, k))
      each.push_back(*p); // fewer than k samples: no value
  return estimate_mean(each);
}

template <class Get>
estimate mean_of(const std::vector<const question_result*>& results, Get get) {
  values each;
  for (const auto* one : results) each.push_back(static_cast<double>(get(*one)) / one->samples);
  return estimate_mean(each);
}

} // namespace

void question_result::add(const episode& finished, const verdict& judged) {
  ++samples;
  correct += judged.correct;
  format_errors += finished.end() != episode_end::answered;
  turns += finished.turns();
  tool_calls += finished.calls();
}

json::object eval_record(const std::vector<question_result>& results, const eval_context& context) {
  std::vector<const question_result*> counted;
  std::map<int, std::vector<const question_result*>> by_hops;
  for (const auto& one : results) {
    if (one.samples == 0) continue;
    counted.push_back(&one);
    if (one.hops > 0) by_hops[one.hops].push_back(&one);
  }
  json::object out{{"kind", "eval"},
                   {"when", context.when},
                   {"step", context.step},
                   {"sampling", context.sampling},
                   {"questions", counted.size()}};
  put(out, "pass_at_1", passes(counted, 1), true);
  put(out, "pass_at_4", passes(counted, 4), true);
  put(out, "mean_turns", mean_of(counted, [](const auto& r) { return r.turns; }), false);
  put(out, "mean_tool_calls", mean_of(counted, [](const auto& r) { return r.tool_calls; }), false);
  put(out, "format_error_rate", mean_of(counted, [](const auto& r) { return r.format_errors; }), true);
  json::object hops;
  for (const auto& [n, group] : by_hops) {
    const auto first = passes(group, 1), fourth = passes(group, 4);
    hops[std::to_string(n)] = {{"n", group.size()},
                               {"pass_at_1", first.mean},
                               {"ci95", interval(first, true)},
                               {"pass_at_4", fourth.n ? json::value(fourth.mean) : json::value(nullptr)}};
  }
  out["by_hops"] = std::move(hops);
  out["seconds"] = context.seconds;
  return out;
}

} // namespace troupe

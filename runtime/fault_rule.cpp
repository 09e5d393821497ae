#include "runtime/fault_rule.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>

namespace troupe {

namespace {

constexpr std::array<std::pair<std::string_view, fault_kind>, 7> kinds{{{"kill", fault_kind::kill},
                                                                        {"throw", fault_kind::raise},
                                                                        {"stall", fault_kind::stall},
                                                                        {"hang", fault_kind::hang},
                                                                        {"fail", fault_kind::fail},
                                                                        {"garbage", fault_kind::garbage},
                                                                        {"slow", fault_kind::slow}}};

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& w : words) out += (out.empty() ? "" : ", ") + w;
  return out;
}

std::optional<double> number(std::string_view text) {
  double out = 0;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (bad != std::errc{} || end != text.data() + text.size() || !std::isfinite(out)) return {};
  return out;
}

/// "2s", "500ms", "1.5m", "1h".
std::optional<duration> time_span(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 4> units{
      {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  for (const auto& [unit, factor] : units) {
    if (!text.ends_with(unit)) continue;
    const auto n = number(text.substr(0, text.size() - unit.size()));
    if (!n || *n <= 0 || *n * factor > 1e7) continue;
    return std::chrono::duration_cast<duration>(std::chrono::duration<double>(*n * factor));
  }
  return {};
}

} // namespace

std::string_view to_string(fault_kind what) {
  for (const auto& [name, kind] : kinds)
    if (kind == what) return name;
  return "fault";
}

bool fault_rule::matches(std::string_view actor) const {
  return whom == "any" || actor == whom ||
         (actor.starts_with(whom) && actor.substr(whom.size()).starts_with('/'));
}

expected<fault_rule> parse_fault_rule(const std::string& text, const fault_targets& targets) {
  auto wrong = [&](const std::string& found, const std::string& expected_words) {
    return fail(errc::invalid, "fault \"" + text + "\": found " + found + ", expected " + expected_words);
  };
  std::istringstream in(text);
  std::string verb;
  fault_rule out;
  out.text = text;
  in >> verb >> out.whom;
  const auto* kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == verb; });
  if (kind == kinds.end())
    return wrong("\"" + verb + "\"", "kill, throw, stall, hang, fail, garbage or slow as the first word");
  out.what = kind->second;
  const auto base = out.whom.substr(0, out.whom.find('/'));
  if (base != "any" && std::find(targets.kinds.begin(), targets.kinds.end(), base) == targets.kinds.end())
    return wrong("\"" + out.whom + "\"", "any or a kind of actor: " + listed(targets.kinds));
  int whens = 0;
  for (std::string word; in >> word;) {
    const auto sign = word.find('=');
    const auto key = word.substr(0, sign), value = sign == std::string::npos ? "" : word.substr(sign + 1);
    const auto span = time_span(value);
    const auto n = number(value);
    if (key == "every" || key == "after" || key == "for") {
      if (!span) return wrong("\"" + word + "\"", key + "= a time such as 500ms, 2s or 1m");
      (key == "every" ? out.every : key == "after" ? out.after : out.length) = *span;
      whens += key != "for";
    } else if (key == "rate") {
      if (!n || *n <= 0 || *n > 1e4) return wrong("\"" + word + "\"", "rate= a number a second, above 0");
      out.rate = *n;
      ++whens;
    } else if (key == "share") {
      if (!n || *n <= 0 || *n > 1) return wrong("\"" + word + "\"", "share= a chance above 0, at most 1");
      out.share = *n;
    } else if (key == "nth") {
      if (!n || *n < 1 || *n != std::floor(*n))
        return wrong("\"" + word + "\"", "nth= a whole number from 1");
      out.nth = static_cast<std::uint64_t>(*n);
    } else if (key == "at") {
      out.point = value;
      ++whens;
    } else
      return wrong("\"" + word + "\"", "every=, rate=, after=, at=, share=, nth= or for=");
  }
  if (whens != 1) return wrong(whens ? "several times" : "no time", "one of every=, rate=, after= or at=");
  if (out.point.empty() && (out.nth || out.share != 1))
    return wrong("share= or nth= without at=", "them at a point only");
  if (!out.point.empty()) {
    std::vector<std::string> known;
    const fault_point* found = nullptr;
    for (const auto& p : targets.points) {
      if (base != "any" && p.whom != base) continue;
      known.push_back(std::string(p.point));
      if (p.point == out.point) found = &p;
    }
    if (!found)
      return wrong("at=" + out.point, known.empty() ? "every=, rate= or after=: " + base + " has no points"
                                                    : "a state of " + base + ": " + listed(known));
    if (out.what == fault_kind::hang || out.what == fault_kind::stall)
      return wrong(verb + " at a point", "kill, throw, fail, garbage or slow there");
    if (out.what >= fault_kind::fail && !found->answers)
      return wrong(verb + " at=" + out.point, "kill or throw: nothing is answered there");
  } else if (out.what >= fault_kind::fail)
    return wrong(verb + " without at=", "at= the operation that it changes");
  const bool timed = out.what == fault_kind::stall || out.what == fault_kind::slow;
  if (timed && out.length == duration(0)) return wrong(verb + " without for=", "for= a time");
  if (!timed && out.length != duration(0)) return wrong(verb + " with for=", "for= with stall or slow only");
  return out;
}

} // namespace troupe

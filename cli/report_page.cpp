#include "cli/report_page.hpp"

#include "cli/fault_table.hpp"
#include "cli/report_chart.hpp"
#include "cli/report_style.hpp"
#include "cli/report_values.hpp"
#include "cli/tables.hpp"
#include "cli/terminal_text.hpp"
#include "tools/utf8.hpp"
#include <cmath>

namespace troupe {

namespace {

using namespace values;

std::string element(const std::string& name, const std::string& inner, const std::string& attributes = {}) {
  return "<" + name + (attributes.empty() ? "" : " " + attributes) + ">" + inner + "</" + name + ">";
}

std::string table(const table_rows& rows, const std::string& caption) {
  std::string top, body;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string cells;
    for (std::size_t i = 0; i < rows[r].size(); ++i)
      cells += element(r == 0 || i == 0 ? "th" : "td", escape_html(rows[r][i]),
                       r == 0   ? "scope=\"col\""
                       : i == 0 ? "scope=\"row\""
                                : "");
    (r == 0 ? top : body) += element("tr", cells);
  }
  return element("div",
                 element("table", element("caption", escape_html(caption), "class=\"muted\"") +
                                      element("thead", top) + element("tbody", body)),
                 "class=\"card scroll\"");
}

// -- tiles
std::string tile(const std::string& name, const std::string& figure, const std::string& note,
                 const std::string& kind = {}) {
  return element("div",
                 element("div", escape_html(name), "class=\"muted\"") +
                     element("div", escape_html(figure), "class=\"number " + kind + "\"") +
                     element("div", escape_html(note), "class=\"muted\""),
                 "class=\"card\"");
}

std::string from_to(const json::object& report, const std::string& key) {
  return fixed(number(report, "heldout.before." + key), 2) + " → " +
         fixed(number(report, "heldout.after." + key), 2);
}

std::string gained(const json::object& report, const std::string& key) {
  const double gain = number(report, "heldout.after." + key) - number(report, "heldout.before." + key);
  return std::isfinite(gain) ? (gain >= 0 ? "+" : "") + fixed(gain, 3) : "not measured";
}

std::string tiles(const json::object& report) {
  const double gap = number(report, "max_logprob_gap");
  std::string out =
      tile("held-out pass@1, temperature 1", from_to(report, "pass_at_1"), gained(report, "pass_at_1"));
  out += tile("held-out pass@1, greedy", from_to(report, "greedy"), gained(report, "greedy"));
  out += tile("time", clock_time(number(report, "seconds.total")),
              "warm-up " + clock_time(number(report, "seconds.warmup")) + ", RL " +
                  clock_time(number(report, "seconds.rl")));
  out += tile("rollouts trained on", grouped(number(report, "rollouts.trained")),
              "of " + grouped(number(report, "rollouts.accepted")) + " accepted");
  out += tile("largest logprob gap", scientific(gap), "engine against learner");
  out += tile("restarts", grouped(number(report, "restarts")),
              "staleness at most " + grouped(number(report, "max_staleness")));
  return element("div", out, "class=\"tiles\"");
}

// -- curves
chart_series of_steps(const std::vector<json::object>& records, const std::string& name, const char* key) {
  chart_series out{.name = name, .x = {}, .y = {}, .low = {}, .high = {}};
  for (const auto& it : records) {
    if (text(it, "kind") != "step") continue;
    const double step = number(it, "step");
    while (!out.x.empty() && out.x.back() >= step)
      out.x.pop_back(), out.y.pop_back(); // a resumed run: the later record counts
    out.x.push_back(step);
    out.y.push_back(number(it, key));
  }
  return out;
}

chart main_curve(const json::object& report) {
  chart out{.title = "Held-out pass@1",
            .caption = "Share of held-out questions answered right, with 95 % intervals.",
            .series = {}};
  out.share = true;
  out.width = 860, out.height = 320;
  chart_series sampled{.name = "temperature 1", .x = {}, .y = {}, .low = {}, .high = {}, .points = true};
  chart_series greedy{.name = "greedy", .x = {}, .y = {}, .low = {}, .high = {}, .points = true};
  if (const auto* points = list(report, "heldout.curve"))
    for (const auto& it : *points) {
      const auto* point = it.if_object();
      if (!point) continue;
      if (const double rate = number(*point, "pass_at_1"); std::isfinite(rate)) {
        const auto between = interval(*point, "pass_at_1_ci95");
        sampled.x.push_back(number(*point, "step"));
        sampled.y.push_back(rate);
        sampled.low.push_back(between ? (*between)[0] : no_number);
        sampled.high.push_back(between ? (*between)[1] : no_number);
      }
      if (const double rate = number(*point, "greedy"); std::isfinite(rate)) {
        greedy.x.push_back(number(*point, "step"));
        greedy.y.push_back(rate);
      }
    }
  out.series.push_back(std::move(sampled));
  if (!greedy.x.empty()) out.series.push_back(std::move(greedy));
  return out;
}

std::vector<chart> step_charts(const std::vector<json::object>& records) {
  const auto line = [&](const std::string& name, const char* key) { return of_steps(records, name, key); };
  std::vector<chart> out;
  out.push_back({.title = "Mean reward",
                 .caption = "Of the rollouts of each training step.",
                 .series = {line("reward", "reward_mean")}});
  out.push_back({.title = "Turns and tool calls",
                 .caption = "Per rollout, mean of each step.",
                 .series = {line("turns", "turns_mean"), line("tool calls", "tool_calls_mean")}});
  out.push_back({.title = "Format errors",
                 .caption = "Share of rollouts that ended in a malformed turn.",
                 .series = {line("format errors", "format_error_rate")}});
  out.push_back({.title = "Staleness",
                 .caption = "Policy versions between sampling and use, by token.",
                 .series = {line("mean", "staleness_mean"), line("largest", "staleness_max")}});
  out.push_back(
      {.title = "Tokens per second",
       .caption = "Sampled by the engine, trained by the learner.",
       .series = {line("engine", "engine_tokens_per_second"), line("learner", "learner_tokens_per_second")}});
  out.push_back({.title = "Idle share",
                 .caption = "Of the wall clock, for lack of work.",
                 .series = {line("engine", "engine_idle"), line("learner", "learner_idle")},
                 .share = true});
  out.push_back({.title = "Logprob gap",
                 .caption = "Largest difference of engine and learner on the same tokens and weights.",
                 .series = {line("gap", "max_logprob_gap")},
                 .logarithmic = true});
  out.push_back({.title = "Entropy",
                 .caption = "Of the policy, nats per sampled token.",
                 .series = {line("entropy", "entropy")}});
  return out;
}

chart warmup_chart(const std::vector<json::object>& records) {
  chart out{.title = "Warm-up loss",
            .caption = "Cross-entropy on demonstrations.",
            .x_label = "warm-up step",
            .series = {}};
  chart_series loss{.name = "loss", .x = {}, .y = {}, .low = {}, .high = {}};
  for (const auto& it : records)
    if (text(it, "kind") == "warmup")
      loss.x.push_back(number(it, "step")), loss.y.push_back(number(it, "loss"));
  out.series.push_back(std::move(loss));
  return out;
}

std::string figure(const chart& what, const std::string& id, bool wide = false) {
  return element("figure",
                 element("h3", escape_html(what.title)) + draw_chart(what, id) +
                     element("figcaption", escape_html(what.caption)),
                 wide ? "class=\"wide\"" : "");
}

std::string curves(const json::object& report, const std::vector<json::object>& records) {
  std::string out = figure(main_curve(report), "c0", true);
  int n = 0;
  for (const auto& it : step_charts(records)) out += figure(it, "c" + std::to_string(++n));
  if (const auto loss = warmup_chart(records); !loss.series[0].x.empty())
    out += figure(loss, "c" + std::to_string(++n));
  return element("div", out, "class=\"charts\"");
}

// -- transcripts
std::string turn(const json::object& it) {
  const auto role = text(it, "role");
  std::string facts = role;
  if (role == "assistant") {
    if (const double tokens = number(it, "tokens"); std::isfinite(tokens))
      facts += " · " + grouped(tokens) + " tokens";
    if (const auto versions = interval(it, "versions"))
      facts += " · policy version " + grouped((*versions)[0]) +
               ((*versions)[0] == (*versions)[1] ? "" : " to " + grouped((*versions)[1]));
    if (const double logprob = number(it, "mean_logprob"); std::isfinite(logprob))
      facts += " · mean logprob " + fixed(logprob, 3);
  }
  const std::string kind = role == "assistant" || role == "tool" ? role : "user";
  return element("div",
                 element("div", escape_html(facts), "class=\"role\"") +
                     element("pre", escape_html(text(it, "text"))),
                 "class=\"turn " + kind + "\"");
}

std::string transcript(const json::object& it, const std::string& when) {
  const auto* correct = it.if_contains("correct");
  const bool right = correct && correct->is_bool() && correct->as_bool();
  std::string out = element(
      "h3",
      when + ": " + element("span", right ? "right" : "wrong", right ? "class=\"good\"" : "class=\"bad\""));
  if (const auto* turns = list(it, "turns"))
    for (const auto& each : *turns)
      if (const auto* one = each.if_object()) out += turn(*one);
  std::string end = text(it, "end");
  for (char& c : end)
    if (c == '_') c = ' ';
  return element(
      "div",
      out + element("p", escape_html(end + ", reward " + fixed(number(it, "reward"), 3)), "class=\"muted\""),
      "class=\"card\"");
}

std::string transcripts(const json::object& report) {
  const auto* pairs = list(report, "transcripts");
  if (!pairs || pairs->empty()) return {};
  std::string out = element("h2", "The same questions before and after");
  for (const auto& each : *pairs) {
    const auto* pair = each.if_object();
    if (!pair) continue;
    const auto *before = object(*pair, "before"), *after = object(*pair, "after");
    const auto* any = after ? after : before;
    if (!any) continue;
    std::string answers, sides;
    if (const auto* accepted = list(*any, "answers"))
      for (const auto& it : *accepted)
        if (const auto* answer = it.if_string()) (answers += answers.empty() ? "" : " or ") += *answer;
    if (before) sides += transcript(*before, "Before");
    if (after) sides += transcript(*after, "After");
    out += element(
        "details",
        element("summary", element("strong", escape_html(text(*any, "question"))) +
                               element("span", escape_html(" expected: " + answers), "class=\"muted\"")) +
            element("div", sides, "class=\"pair\""),
        "open");
  }
  return out;
}

std::string balance_section(const json::object& report) {
  if (!object(report, "rollouts")) return {};
  const bool holds = balance_holds(report);
  return element("h2", "Where every rollout went") +
         table(balance_rows(report), "accepted = trained + pending + parked + retired") +
         element("p",
                 holds ? "The balance adds up." : "The balance does not add up: please report this as a bug.",
                 holds ? "class=\"muted\"" : "class=\"bad\" role=\"alert\"");
}

std::string faults(const json::object& report) {
  const auto* summary = object(report, "faults");
  const auto* rows = summary ? list(*summary, "faults") : nullptr;
  if (!rows || rows->empty()) return {};
  return element("h2", "Faults on purpose, and what came of them") +
         table(cli::fault_rows(*summary), "Times in milliseconds from the strike; – is not measured") +
         element("p", escape_html(cli::fault_totals(*summary)), "class=\"muted\"");
}

std::string files(const json::object& report) {
  const auto* all = object(report, "files");
  if (!all || all->empty()) return {};
  table_rows rows = {{"file", "path"}};
  for (const auto& it : *all)
    if (const auto* path = it.value().if_string())
      rows.push_back({std::string(it.key()), std::string(*path)});
  return element("h2", "Files") + table(rows, "What this run left");
}

} // namespace

std::string escape_html(std::string_view what) {
  std::string out;
  while (!what.empty()) {
    const auto character = first_chars(what, 1);
    what.remove_prefix(character.size());
    const auto byte = static_cast<unsigned char>(character[0]);
    const bool kept_space = byte == '\n' || byte == '\t';
    const bool control = character.size() == 1 && (byte < 0x20 || byte >= 0x7F) && !kept_space;
    const bool c1 = character.size() == 2 && byte == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
    if (control || c1)
      out += "·";
    else if (character == "&")
      out += "&amp;";
    else if (character == "<")
      out += "&lt;";
    else if (character == ">")
      out += "&gt;";
    else if (character == "\"")
      out += "&quot;";
    else if (character == "'")
      out += "&#39;";
    else
      out += character;
  }
  return out;
}

std::string build_report(const json::object& report, const std::vector<json::object>& records,
                         std::string_view config_yaml) {
  const auto run = text(report, "run"), cpu = text(report, "cpu");
  const auto title = "Troupe" + (run.empty() ? "" : ": " + run);
  std::string page(report_head);
  page += element("title", escape_html(title)) + "</head><body><main>\n";
  page += element("h1", escape_html(title));
  const double steps = number(report, "steps"), questions = number(report, "heldout.after.questions");
  std::string about = grouped(steps) + " RL steps";
  if (std::isfinite(questions)) about += ", " + grouped(questions) + " held-out questions";
  if (!cpu.empty()) about += ", on " + cpu;
  page += element("p", escape_html(about), "class=\"muted\"") + tiles(report) + "\n";
  page += element("h2", "Curves") + curves(report, records) + "\n";
  page += element("h2", "Before and after") +
          table(before_after_rows(report), "Held-out questions; 95 % intervals over questions") + "\n";
  page += transcripts(report) + "\n" + balance_section(report) + "\n" + faults(report) + "\n" +
          files(report) + "\n";
  if (!config_yaml.empty())
    page += element("h2", "Config") + element("details",
                                              element("summary", "The resolved config of this run") +
                                                  element("pre", escape_html(config_yaml)),
                                              "class=\"card config\"");
  return page + "\n</main></body></html>\n";
}

std::string main_curve_svg(const json::object& report) { return standalone_chart(main_curve(report)); }

} // namespace troupe

#include "cli/report_chart.hpp"
#include "cli/report_page.hpp"
#include "cli/report_summary.hpp"
#include "cli/report_values.hpp"
#include "runtime/base/file.hpp"
#include "tests/unit/cli/sample_run.hpp"
#include "tests/unit/tools/folder.hpp"
#include <cmath>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace troupe;
using testing::HasSubstr;
using testing::Not;

namespace {

/// The names of all elements and attributes of a page, and whether every element is closed in order: a small,
/// strict reader of the HTML that we write.
struct markup {
  std::vector<std::string> elements, attributes;
  bool well_formed = true;
};

markup read_markup(std::string_view page) {
  markup out;
  std::vector<std::string> open;
  for (std::size_t i = 0; i < page.size(); ++i) {
    if (page[i] != '<') continue;
    const auto end = page.find('>', i);
    if (end == std::string_view::npos) return out.well_formed = false, out;
    auto tag = page.substr(i + 1, end - i - 1);
    i = end;
    if (tag.starts_with('!') || tag.starts_with('?')) continue;
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return out.well_formed = false, out;
      open.pop_back();
      continue;
    }
    const bool empty = tag.ends_with('/');
    const std::string name(tag.substr(0, tag.find_first_of(" /")));
    out.elements.push_back(name);
    bool quoted = false;
    for (std::size_t at = name.size(), start = 0; at < tag.size(); ++at) {
      if (tag[at] == '"') quoted = !quoted;
      if (!quoted && tag[at] == ' ') start = at + 1;
      if (!quoted && tag[at] == '=') out.attributes.emplace_back(tag.substr(start, at - start));
    }
    if (!empty && name != "meta") open.push_back(name);
  }
  out.well_formed = open.empty();
  return out;
}

std::string hostile(int depth = 0) {
  return depth > 3 ? ""
                   : "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[31m\xFF" +
                         hostile(depth + 1);
}

} // namespace

TEST(TheSummary, HoldsWhatTheReportPromises) {
  const auto report = sample_report();
  using namespace values;
  EXPECT_EQ(number(report, "heldout.before.pass_at_1"), 0.27);
  EXPECT_EQ(number(report, "heldout.after.pass_at_1"), 0.61);
  EXPECT_EQ((*interval(report, "heldout.after.pass_at_1_ci95"))[1], 0.66);
  EXPECT_EQ(number(report, "heldout.after.greedy"), 0.87);
  EXPECT_EQ((*interval(report, "heldout.before.greedy_ci95"))[0], 0.47);
  EXPECT_EQ(number(report, "heldout.after.pass_at_4"), 0.8);
  EXPECT_EQ(number(report, "heldout.before.mean_turns"), 2.31);
  EXPECT_EQ(number(report, "heldout.before.mean_tool_calls"), 1.4);
  EXPECT_EQ(number(report, "heldout.before.format_error_rate"), 0.15);
  EXPECT_EQ(number(report, "heldout.after.by_hops.10.pass_at_1"), 0.58);
  EXPECT_EQ(number(report, "seconds.warmup"), 221);
  EXPECT_EQ(number(report, "seconds.rl"), 12);
  EXPECT_EQ(number(report, "seconds.eval"), 42);
  EXPECT_EQ(number(report, "seconds.total"), 275);
  EXPECT_EQ(json::dump(report.at("restarts")) + json::dump(report.at("max_staleness")) +
                json::dump(report.at("steps")),
            "112");
  EXPECT_EQ(number(report, "max_logprob_gap"), 1e-5);
  EXPECT_EQ(number(report, "rollouts.retired.equal rewards"), 60);
  EXPECT_EQ(text(report, "cpu"), "a CPU & 2 cores");
  const auto* curve = list(report, "heldout.curve");
  ASSERT_EQ(curve->size(), 3u);
  EXPECT_EQ(number((*curve)[1].as_object(), "step"), 1);
  EXPECT_EQ(number((*curve)[1].as_object(), "pass_at_1"), 0.4);
  EXPECT_EQ(number((*curve)[2].as_object(), "greedy"), 0.87);
}

TEST(TheSummary, OfNothingIsNullNotZero) {
  const auto report = summarize({});
  EXPECT_EQ(
      json::dump(report),
      R"({"run":null,"heldout":{"before":null,"after":null,"curve":[]},"steps":null,)"
      R"("seconds":{"warmup":null,"rl":null,"eval":null,"total":0.0},"rollouts":null,"restarts":0,"max_logprob_gap":null,)"
      R"("max_staleness":null,"cpu":null,"transcripts":null,"files":null})");
}

TEST(TheSummary, OfAResumedRunTakesTheLaterRecordAndAddsRestarts) {
  const auto step = [](int at, int restarts, double seconds) {
    return json::object{{"kind", "step"}, {"step", at}, {"restarts", restarts}, {"seconds", seconds}};
  };
  const auto point = [](int at, double rate) {
    return json::object{
        {"kind", "eval"}, {"when", "curve"}, {"step", at}, {"sampling", "t1"}, {"pass_at_1", rate}};
  };
  const auto report =
      summarize({step(1, 0, 5), step(2, 2, 9), point(2, 0.3), step(2, 0, 3), point(2, 0.4), step(3, 1, 7)});
  EXPECT_EQ(values::number(report, "restarts"), 3);
  EXPECT_EQ(values::number(report, "seconds.rl"), 7); // not finished: what the last step said
  EXPECT_EQ(json::dump(*values::value_at(report, "heldout.curve")),
            R"([{"step":2,"pass_at_1":0.4,"pass_at_1_ci95":null}])");
}

TEST(Metrics, AreReadWithoutALastLineThatAKillCutShort) {
  temporary_folder folder;
  const auto file = folder.path() / "metrics.jsonl";
  EXPECT_EQ(read_metrics(file).error().code, errc::not_found);
  folder.write("metrics.jsonl", "{\"kind\":\"a\"}\n\n{\"kind\":\"b\"}\n{\"kind\":");
  auto records = read_metrics(file);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->size(), 2u);
  folder.write("metrics.jsonl", "{\"kind\":\"a\"}\n{\"kind\":\n{\"kind\":\"b\"}\n");
  ASSERT_FALSE(read_metrics(file));
  EXPECT_EQ(read_metrics(file).error().code, errc::corrupt);
  EXPECT_THAT(read_metrics(file).error().message, HasSubstr("metrics.jsonl:2: not JSON"));
  folder.write("metrics.jsonl", "7\n");
  EXPECT_THAT(read_metrics(file).error().message, HasSubstr("found a number, expected a metric record"));
}

TEST(Escaping, LeavesNoMarkupAndNoControlCharacter) { // REP-2
  EXPECT_EQ(escape_html("a<b>&\"c'\n\t"), "a&lt;b&gt;&amp;&quot;c&#39;\n\t");
  EXPECT_EQ(escape_html("\x1b\x7f\xC2\x85\xFF\xE2\x82z漢"), "······z漢");
}

TEST(TheReportPage, IsClosedInOrderAndHoldsNothingThatRunsOrLoads) { // REP-1
  const auto page = build_report(sample_report(), sample_records(), "seed: 1\n");
  const auto found = read_markup(page);
  EXPECT_TRUE(found.well_formed);
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const auto* name : {"script", "link", "img", "iframe", "object", "a", "form", "image", "use", "base"})
    EXPECT_EQ(std::count(found.elements.begin(), found.elements.end(), name), 0) << name;
  for (const auto& name : found.attributes) {
    EXPECT_FALSE(name.starts_with("on")) << name;
    EXPECT_TRUE(name != "src" && name != "href" && name != "xlink:href") << name;
  }
  EXPECT_THAT(page, Not(HasSubstr("url(")));
  EXPECT_THAT(page, Not(HasSubstr("http://")));
  EXPECT_THAT(page, Not(HasSubstr("https://")));
}

TEST(TheReportPage, EscapesEveryTextFromOutside) { // REP-2
  auto report = sample_report();
  const auto plain = read_markup(build_report(report, sample_records(), "seed: 1"));
  for (const auto* key : {"run", "cpu"}) report[key] = hostile();
  report["rollouts"].as_object()["retired"] = json::object{{hostile(), 60}, {hostile() + "2", 10}};
  report["files"] = json::object{{hostile(), hostile()}};
  json::object bad = sample_transcript();
  for (const auto* key : {"id", "task", "question", "end"}) bad[key] = hostile();
  bad["answers"] = json::array{hostile()};
  for (auto& turn : bad["turns"].as_array()) turn.as_object()["text"] = turn.as_object()["role"] = hostile();
  report["transcripts"] = json::array{json::object{{"before", bad}, {"after", bad}}};
  auto& hops = report["heldout"].as_object()["after"].as_object()["by_hops"].as_object();
  hops[hostile()] = json::object{{"n", 1}, {"pass_at_1", 0.5}};
  const auto page = build_report(report, sample_records(), hostile());
  const auto found = read_markup(page);
  EXPECT_TRUE(found.well_formed);
  EXPECT_EQ(std::count(found.elements.begin(), found.elements.end(), "script"), 0);
  EXPECT_EQ(std::count(found.elements.begin(), found.elements.end(), "img"), 0);
  EXPECT_EQ(std::count(found.attributes.begin(), found.attributes.end(), "onerror"), 0);
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;"));
  EXPECT_LT(plain.elements.size(), found.elements.size() + 50); // the same page but for a row or two
}

TEST(TheReportPage, SaysEveryPictureInWordsAndFollowsTheReadersColors) { // REP-3
  const auto page = build_report(sample_report(), sample_records());
  const auto found = read_markup(page);
  const auto pictures = std::count(found.elements.begin(), found.elements.end(), "svg");
  EXPECT_EQ(pictures, 10); // main curve, eight of steps, warm-up
  EXPECT_EQ(std::count(found.elements.begin(), found.elements.end(), "desc"), pictures);
  EXPECT_EQ(std::count(found.attributes.begin(), found.attributes.end(), "aria-labelledby"), pictures);
  EXPECT_THAT(page, HasSubstr("temperature 1: from 27.0 % to 61.0 %."));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(page, HasSubstr("lang=\"en\""));
  EXPECT_THAT(
      page,
      HasSubstr("<th scope=\"row\">pass@1</th><td>0.270 (0.230 – 0.310)</td><td>0.610 (0.560 – 0.660)</td>"));
}

TEST(TheReportPage, IsTheSameBytesForTheSameRunAndExistsForAnEmptyOne) {
  EXPECT_EQ(build_report(sample_report(), sample_records(), "x"),
            build_report(sample_report(), sample_records(), "x"));
  const auto empty = build_report(summarize({}), {});
  EXPECT_TRUE(read_markup(empty).well_formed);
  EXPECT_THAT(empty, HasSubstr("not measured in this run"));
  EXPECT_THAT(empty, Not(HasSubstr("nan")));
  EXPECT_TRUE(read_markup(build_report({}, {})).well_formed);
}

TEST(TheReportPage, SaysWhenTheBalanceDoesNotAddUp) {
  auto report = sample_report();
  EXPECT_THAT(build_report(report, {}), HasSubstr("The balance adds up."));
  report["rollouts"].as_object()["parked"] = 11;
  EXPECT_THAT(build_report(report, {}), HasSubstr("The balance does not add up"));
}

TEST(TheMainCurve, IsAWholePictureWithItsOwnColors) {
  const auto picture = main_curve_svg(sample_report());
  EXPECT_TRUE(read_markup(picture).well_formed);
  EXPECT_THAT(picture, HasSubstr("xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_THAT(picture, HasSubstr("prefers-color-scheme:dark"));
  // 27 % at step 0 stands at the left end, at 27 % of the plot's height above its bottom (278 of 34 to 278).
  EXPECT_THAT(picture, HasSubstr("cx=\"56\" cy=\"212.1\""));
  EXPECT_THAT(picture, HasSubstr("<polygon class=\"band s1\""));
}

TEST(AxisMarks, AreRoundNumbersWithinTheirBounds) {
  using marks = std::vector<double>;
  EXPECT_EQ(axis_marks(0, 60, 6), (marks{0, 10, 20, 30, 40, 50, 60}));
  EXPECT_EQ(axis_marks(0, 1, 5).size(), 6u);
  EXPECT_EQ(axis_marks(-3, 4, 4), (marks{-2, 0, 2, 4}));
  EXPECT_EQ(axis_marks(5, 5, 4), marks{5});
  EXPECT_EQ(axis_marks(NAN, 5, 4).size(), 1u);
  for (const double top : {1e-9, 3.7, 1e12}) {
    const auto found = axis_marks(0, top, 5);
    EXPECT_GE(found.size(), 3u);
    EXPECT_LE(found.size(), 8u);
    EXPECT_LE(found.back(), top * (1 + 1e-6));
  }
}

TEST(AChart, LeavesGapsForWhatWasNotMeasured) {
  const auto picture = draw_chart(
      {.title = "t",
       .caption = "c",
       .series = {{.name = "s", .x = {1, 2, 3, 4}, .y = {1, NAN, 3, INFINITY}, .low = {}, .high = {}}}},
      "x");
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = picture.find("<polyline", at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(lines, 2u);
  EXPECT_THAT(picture, Not(HasSubstr("nan")));
  EXPECT_THAT(picture, Not(HasSubstr("inf\"")));
}

TEST(ALogarithmicChart, LeavesOutZeroAndMarksPowersOfTen) {
  const auto picture =
      draw_chart({.title = "t",
                  .caption = "c",
                  .series = {{.name = "s", .x = {1, 2, 3}, .y = {0, 2e-5, 3e-4}, .low = {}, .high = {}}},
                  .logarithmic = true},
                 "x");
  EXPECT_THAT(picture, HasSubstr(">1e-5<"));
  EXPECT_THAT(picture, HasSubstr(">1e-3<"));
  EXPECT_THAT(picture, Not(HasSubstr("1e-6")));
}

#include "cli/live_state.hpp"
#include "cli/live_view.hpp"
#include "cli/tables.hpp"
#include "cli/terminal_text.hpp"
#include "cli/transcript_view.hpp"
#include "tests/unit/cli/sample_run.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

using namespace troupe;
using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

namespace {

struct hand_clock final : clock {
  duration now() const override { return time; }
  duration wall() const override { return time; }
  duration time{};
};

/// What a terminal shows after the bytes: enough of one (CR, LF, cursor up, erase to the end of line or
/// screen, wrap).
std::vector<std::string> screen_after(const std::string& bytes) {
  std::vector<std::string> rows(1);
  std::size_t row = 0, column = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (c == '\r') {
      column = 0;
    } else if (c == '\n') {
      column = 0;
      if (++row == rows.size()) rows.emplace_back();
    } else if (c == '\x1b') {
      const auto end = bytes.find_first_of("ABCDHJKmhl", i + 2);
      const auto argument = bytes.substr(i + 2, end - i - 2);
      if (bytes[end] == 'A') row -= std::min(row, static_cast<std::size_t>(std::stoi(argument)));
      if (bytes[end] == 'K' || bytes[end] == 'J') rows[row].resize(std::min(rows[row].size(), column));
      if (bytes[end] == 'J') rows.resize(row + 1);
      i = end;
    } else { // bytes, not characters: good enough for comparing whole rows
      if (rows[row].size() <= column) rows[row].resize(column + 1, ' ');
      rows[row][column++] = c;
    }
  }
  return rows;
}

json::object step_record(int step) {
  return json::
      parse(R"({"kind":"step","step":)" + std::to_string(step) +
            R"(,"steps":60,"version":7,"reward_mean":0.41,"correct_rate":0.5,"turns_mean":2.7,"tool_calls_mean":1.8,)"
            R"("format_error_rate":0.041,"staleness_mean":0.8,"staleness_max":2,"loss":0.1,"grad_norm":3.5,"entropy":0.2,)"
            R"("kl":0.001,"max_logprob_gap":1.2e-5,"engine_tokens_per_second":1240.4,"learner_tokens_per_second":4300,)"
            R"("engine_idle":0.12,"learner_idle":0.45,"restarts":0,"seconds":60,"eta_seconds":185,"groups_skipped":3,)"
            R"("negatives_dropped":11,"trained":96})")
          ->as_object();
}

} // namespace

TEST(TheWidthOfText, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("Łódź – ✓"), 8u);
  EXPECT_EQ(display_width("漢字"), 4u);
  EXPECT_EQ(display_width("e\xCC\x81"), 1u); // combining acute
  EXPECT_EQ(display_width("😀"), 2u);
  EXPECT_EQ(pad_left("漢", 4), "  漢");
  EXPECT_EQ(clipped("漢字漢字", 5), "漢字…");
  EXPECT_EQ(clipped("漢字漢字", 8), "漢字漢字");
}

TEST(PrintableText, HoldsNothingThatMovesACursor) { // LIVE-4
  EXPECT_EQ(printable("a\x1b[2Jb\x07\nc\x7f\xC2\x9B"
                      "d\xFF"),
            "a·[2Jb··c··d·");
  EXPECT_EQ(printable("a\tb\nc", true), "a b\nc");
  EXPECT_EQ(printable("\xE2\x80\xAE"), "·"); // right-to-left override
}

TEST(WrappedText, BreaksAtSpacesAndCutsLongWords) {
  using lines = std::vector<std::string>;
  EXPECT_EQ(wrapped("one two three", 8), (lines{"one two", "three"}));
  EXPECT_EQ(wrapped("abcdefghij k", 4), (lines{"abcd", "efgh", "ij k"}));
  EXPECT_EQ(wrapped("a\n\nb", 4), (lines{"a", "", "b"}));
  EXPECT_EQ(wrapped("漢字", 1), (lines{"漢", "字"}));
  EXPECT_EQ(wrapped("", 5), lines{""});
}

TEST(Numbers, AreWrittenForPeople) {
  EXPECT_EQ(grouped(1234567.4), "1,234,567");
  EXPECT_EQ(grouped(-1234), "-1,234");
  EXPECT_EQ(grouped(-0.2), "0");
  EXPECT_EQ(clock_time(59.4), "59 s");
  EXPECT_EQ(clock_time(185), "3:05");
  EXPECT_EQ(clock_time(3723), "1:02:03");
  EXPECT_EQ(percent(0.041), "4.1 %");
  EXPECT_EQ(scientific(1.2e-5), "1.2e-05");
  for (const double odd : {NAN, INFINITY})
    EXPECT_EQ(fixed(odd, 2) + grouped(odd) + percent(odd) + clock_time(odd), "––––");
}

TEST(ASparkline, ShowsLowAndHighAndAveragesWhatDoesNotFit) {
  EXPECT_EQ(sparkline({0, 1, 2, 3, 4, 5, 6, 7}, 8), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(sparkline({0, 0, 10, 10}, 2), "▁█");
  EXPECT_EQ(sparkline({3}, 5), "▅");
  EXPECT_EQ(sparkline({}, 5), "");
}

TEST(AProgressBar, FillsInHalves) {
  EXPECT_EQ(progress_bar(0, 4), "────");
  EXPECT_EQ(progress_bar(0.5, 4), "━━──");
  EXPECT_EQ(progress_bar(0.625, 4), "━━╸─");
  EXPECT_EQ(progress_bar(7, 4), "━━━━");
}

TEST(ATable, AlignsByColumnsOfTheTerminal) {
  EXPECT_EQ(render_table({{"name", "n"}, {"漢字", "1,000"}, {"x\x1b", "2"}}),
            "name      n\n───────────\n漢字  1,000\nx·        2\n");
}

TEST(TheBeforeAfterTable, ShowsIntervalsHopsAndChange) {
  EXPECT_EQ(render_table(before_after_rows(sample_report())),
            "held-out                             before (95 %)           after (95 %)       change\n"
            "──────────────────────────────────────────────────────────────────────────────────────\n"
            "pass@1                       0.270 (0.230 – 0.310)  0.610 (0.560 – 0.660)       +0.340\n"
            "  1 hop, 120 questions       0.400 (0.310 – 0.490)  0.690 (0.610 – 0.770)       +0.290\n"
            "  10 hops, 280 questions                         –  0.580 (0.520 – 0.640)            –\n"
            "pass@1, greedy               0.520 (0.470 – 0.570)  0.870 (0.840 – 0.900)       +0.350\n"
            "pass@4                       0.500 (0.450 – 0.550)  0.800 (0.760 – 0.840)       +0.300\n"
            "  1 hop, 120 questions                       0.600                  0.900       +0.300\n"
            "turns                                         2.31                   3.00        +0.69\n"
            "tool calls                                    1.40                   1.90        +0.50\n"
            "format errors             15.0 % (12.0 % – 18.0 %)                  9.0 %  -6.0 points\n");
}

TEST(TheBeforeAfterTable, OfARunThatHasNotBeenMeasuredIsItsHead) {
  EXPECT_EQ(before_after_rows({}).size(), 1u);
}

TEST(TheBalance, AddsUpOrSaysThatItDoesNot) {
  auto report = sample_report();
  EXPECT_TRUE(balance_holds(report));
  EXPECT_THAT(closing_summary(report),
              HasSubstr("rollouts: 1,000 accepted = 900 trained + 20 pending + 10 parked + 70 retired\n"));
  report["rollouts"].as_object()["trained"] = 899;
  EXPECT_FALSE(balance_holds(report));
  EXPECT_THAT(closing_summary(report), HasSubstr("(this does not add up)"));
  EXPECT_TRUE(balance_holds({}));
}

TEST(TheClosingSummary, HasNoTableOfWhatWasNotMeasured) {
  const auto said = closing_summary({{"files", json::object{{"report", "runs/sft/report.html"}}}});
  EXPECT_THAT(said, testing::Not(HasSubstr("held-out")));
  EXPECT_THAT(said, HasSubstr("runs/sft/report.html"));
}

TEST(ATranscript, IsReadableAndSafe) {
  EXPECT_EQ(render_transcript(sample_transcript(), {.width = 60}),
            "question  Where is Marneuli?\n"
            "expected  Asia | asia\n"
            "user      Where is Marneuli?\n"
            "assistant <tool_call>{\"name\":\"search\"}</tool_call>\n"
            "          19 tokens · versions 3 to 4 · mean logprob -0.041\n"
            "tool      Marneuli: City in Georgia, a long line that must\n"
            "          be wrapped. ·[31m<script>alert(1)</script>\n"
            "assistant <answer>Asia</answer>\n"
            "          1 token · version 4\n"
            "✓         right, answered, reward 0.902 (correctness 1.000)\n"
            "          rollout r-1 of task t-1\n");
  const auto colored = render_transcript(sample_transcript(), {.width = 60, .color = true});
  EXPECT_THAT(colored, HasSubstr("\x1b[36massistant\x1b[0m"));
  EXPECT_THAT(colored, Not(HasSubstr("\x1b[31m<")));
  EXPECT_THAT(render_transcript({}), HasSubstr("✗"));
}

TEST(TheJsonView, GivesEveryRecordAsOneLine) { // LIVE-1
  std::ostringstream out;
  hand_clock time;
  std::string expected_lines;
  {
    live_view view(out, time, {.mode = progress_mode::json});
    for (const auto& record : sample_records()) {
      view.feed(record);
      view.tick();
      expected_lines += json::dump(record) + "\n";
    }
  }
  EXPECT_EQ(out.str(), expected_lines);
}

TEST(TheLineView, SaysEveryStageStepEvaluationAndMessage) { // LIVE-2, LIVE-4
  std::ostringstream out;
  hand_clock time;
  live_view view(out, time);
  view.feed({{"kind", "stage"}, {"stage", "warmup"}, {"state", "start"}});
  view.feed({{"kind", "stage"}, {"stage", "warmup"}, {"state", "done"}, {"seconds", 221.0}});
  view.feed(step_record(23));
  view.feed({{"kind", "eval"},
             {"when", "curve"},
             {"step", 20},
             {"sampling", "t1"},
             {"questions", 400},
             {"pass_at_1", 0.52},
             {"pass_at_1_ci95", {0.47, 0.57}},
             {"pass_at_4", nullptr}});
  view.feed({{"kind", "message"}, {"level", "warning"}, {"text", "bad \x1b[2J"}});
  view.feed({{"kind", "something new"}});
  EXPECT_EQ(
      out.str(),
      "warm-up ...\n"
      "warm-up done in 3:41\n"
      "step 23/60: reward 0.410, right 50 %, turns 2.70, calls 1.80, format errors 4.1 %, staleness 0.80, "
      "engine 1,240 tok/s (idle 12 %), learner 4,300 tok/s (idle 45 %), restarts 0, 3:05 left\n"
      "held-out at step 20: pass@1 0.520 (0.470 – 0.570), 400 questions\n"
      "warning: bad ·[2J\n");
}

TEST(TheLineView, ThinsWarmUpStepsAndBreaksLongSilence) { // LIVE-2
  std::ostringstream out;
  hand_clock time;
  live_view view(out, time);
  view.tick();
  EXPECT_EQ(out.str(), "");
  view.feed({{"kind", "stage"}, {"stage", "warmup"}, {"state", "start"}});
  for (int i = 1; i <= 100; ++i) {
    time.time += 100ms;
    view.feed({{"kind", "warmup"},
               {"step", i},
               {"steps", 100},
               {"loss", 1.0},
               {"tokens_per_second", 8000},
               {"eta_seconds", 9}});
  }
  auto said = out.str();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'),
            6); // the stage, steps 1, 31, 61, 91, and the last one
  EXPECT_THAT(said, EndsWith("warm-up 100/100: loss 1.000, 8,000 tok/s, 9 s left\n"));
  out.str("");
  for (int i = 0; i < 12; ++i) time.time += 1s, view.tick();
  EXPECT_EQ(out.str(), "  ... warm-up, 15 s, 4 s left\n  ... warm-up, 20 s, 0 s left\n");
}

TEST(TheTerminalView, RedrawsOneBlockInPlace) { // LIVE-3
  std::ostringstream out;
  hand_clock time;
  live_view view(out, time, {.mode = progress_mode::terminal, .run = "quickstart"});
  view.feed({{"kind", "stage"}, {"stage", "rl"}, {"state", "start"}});
  for (int i = 1; i <= 30; ++i) {
    time.time += 200ms;
    view.feed(step_record(i));
    view.tick();
  }
  const auto screen = screen_after(out.str());
  ASSERT_EQ(screen.size(), 9u);
  EXPECT_THAT(screen[0], StartsWith(" troupe · quickstart "));
  EXPECT_THAT(screen[0], EndsWith(" RL, step 30 of 60"));
  EXPECT_THAT(screen[1], EndsWith("─  50 %, 6 s gone, 3:05 left"));
  EXPECT_THAT(screen[2], StartsWith(" reward     0.410   ▅"));
  EXPECT_EQ(screen[5], " engine       1,240 tok/s, idle 12 %");
  EXPECT_EQ(screen[8], " health     restarts 0, trained 96, groups skipped 3, negatives dropped 11");
  for (const auto& row : screen) EXPECT_LT(display_width(row), 80u);
}

TEST(TheTerminalView, KeepsStagesEvaluationsAndMessagesAboveTheBlock) { // LIVE-3, LIVE-4
  std::ostringstream out;
  hand_clock time;
  live_view view(out, time, {.mode = progress_mode::terminal});
  for (const auto& record : sample_records()) {
    time.time += 200ms;
    view.feed(record);
  }
  view.finish();
  const auto screen = screen_after(out.str());
  EXPECT_EQ(screen[0], "✓ warm-up done in 3:41");
  EXPECT_EQ(screen[1], "  held-out at step 0: pass@1 0.270 (0.230 – 0.310), pass@4 0.500, 400 questions");
  EXPECT_EQ(screen[2], "  held-out at step 0, greedy: pass@1 0.520 (0.470 – 0.570), 400 questions");
  EXPECT_EQ(screen[3], "✓ evaluation before RL done in 20 s");
  EXPECT_EQ(screen[4], "warning: restarted: ·[31mx");
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b[31m")));
}

TEST(TheTerminalView, RestoresTheTerminalOnceAndThenIsSilent) { // LIVE-3
  std::ostringstream out;
  hand_clock time;
  {
    live_view view(out, time, {.mode = progress_mode::terminal});
    view.feed(step_record(1));
    view.finish();
    const auto before = out.str();
    EXPECT_THAT(before, EndsWith("\n" + std::string(restore_terminal)));
    view.feed(step_record(2));
    view.tick();
    view.finish();
    EXPECT_EQ(out.str(), before);
  }
  std::ostringstream unused;
  { live_view view(unused, time, {.mode = progress_mode::terminal}); }
  EXPECT_EQ(unused.str(), restore_terminal);
}

TEST(TheTerminalView, DrawsAtMostTenTimesASecondAndHasColorOnlyIfAsked) { // LIVE-3
  for (const bool color : {false, true}) {
    std::ostringstream out;
    hand_clock time;
    live_view view(out, time, {.mode = progress_mode::terminal, .color = color});
    for (int i = 0; i < 1000; ++i) {
      time.time += 1ms;
      view.tick();
    }
    std::size_t frames = 0, colors = 0;
    const auto bytes = out.str();
    for (std::size_t at = 0; (at = bytes.find("\x1b[?25l", at)) != std::string::npos; ++at) ++frames;
    for (std::size_t at = 0; (at = bytes.find("\x1b[1m", at)) != std::string::npos; ++at) ++colors;
    EXPECT_EQ(frames, 10u);
    EXPECT_EQ(colors > 0, color);
  }
}

TEST(TheTerminalView, FollowsTheWidthAndTakesBackWhatANarrowerTerminalWrapped) { // LIVE-3
  std::ostringstream out;
  hand_clock time;
  int columns = 120;
  live_view view(out, time, {.mode = progress_mode::terminal, .width = [&] { return columns; }});
  view.feed({{"kind", "stage"}, {"stage", "rl"}, {"state", "start"}});
  time.time += 1s;
  view.feed(step_record(5));
  out.str("");
  columns =
      60; // nine lines, five of which (head, bar, reward, loss, health) were wider and take two rows now
  time.time += 1s;
  view.tick();
  EXPECT_THAT(out.str(), HasSubstr("\x1b[13A\r"));
  for (const auto& row : screen_after(out.str())) EXPECT_LT(display_width(row), 60u);
  out.str("");
  columns = 1;
  time.time += 1s;
  view.tick();
  for (const auto& row : screen_after(out.str())) EXPECT_LE(display_width(row), 20u);
}

#include "runtime/telemetry.hpp"

#include "../folder.hpp"
#include "../small_disk.hpp"
#include "runtime/base/file.hpp"
#include <cstdio>
#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <set>
#include <sstream>
#include <sys/wait.h>
#include <thread>

using namespace troupe;

namespace {

std::vector<json::object> lines_of(const std::filesystem::path& file) {
  std::vector<json::object> out;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    auto parsed = json::parse(line);
    EXPECT_TRUE(parsed) << line;
    if (parsed) out.push_back(parsed->as_object());
  }
  return out;
}

struct still_clock final : troupe::clock {
  duration at{};
  duration now() const override { return at; }
  duration wall() const override { return std::chrono::milliseconds(1'700'000'000'123); }
};

/// Collects warnings; closes the log at the end of the test.
struct log_fixture {
  test_folder folder;
  std::vector<std::string> warnings;
  still_clock time;
  std::filesystem::path file = folder.path / "events.jsonl";
  log_fixture() {
    log_options options;
    options.file = file;
    options.time = &time;
    options.on_warning = [this](std::string_view line) { warnings.emplace_back(line); };
    EXPECT_TRUE(open_log(std::move(options)));
  }
  ~log_fixture() { close_log(); }
};

bool contains(const std::string& text, std::string_view what) { return text.find(what) != text.npos; }

} // namespace

TEST(TheLog, WritesOneJsonLinePerEventAndWarningsForPeople) { // LOG-2, LOG-3
  log_fixture f;
  log_event("run_started", {{"run", "demo"}, {"seed", 7}, {"share", 0.5}});
  log_event("child_restarted", {{"child", "engine"}, {"reason", "two\nlines"}, {"level", "x"}},
            log_level::warning);
  log_event("too_fine", {}, log_level::debug);
  auto lines = lines_of(f.file);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(
      json::dump(lines[0]),
      R"({"time":"2023-11-14T22:13:20.123Z","level":"info","event":"run_started","run":"demo","seed":7,"share":0.5})");
  EXPECT_EQ(lines[1].at("reason").as_string(), "two\nlines");
  EXPECT_EQ(lines[1].at("level").as_string(), "warning");
  EXPECT_EQ(f.warnings, std::vector<std::string>{
                            "warning: child_restarted child=engine reason=\"two\\nlines\" level_=x"});
}

TEST(TheLog, KeepsLinesWholeWhenThreadsWriteAtOnce) { // LOG-2
  log_fixture f;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) log_event("tick", {{"thread", t}, {"i", i}});
    });
  for (auto& thread : threads) thread.join();
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  for (auto& line : lines_of(f.file)) seen.emplace(line.at("thread").as_int64(), line.at("i").as_int64());
  EXPECT_EQ(seen.size(), 800u);
}

TEST(TheLog, WritesNumbersThatJsonCannotHoldAsText) {
  log_fixture f;
  log_event("odd", {{"a", std::numeric_limits<double>::quiet_NaN()},
                    {"b", -std::numeric_limits<double>::infinity()}});
  auto lines = lines_of(f.file);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("a").as_string(), "NaN");
  EXPECT_EQ(lines[0].at("b").as_string(), "-Infinity");
}

TEST(TheLog, CountsWhatAFullDiskSwallowsAndGoesOn) { // LOG-1
  test_folder folder;
  small_disk disk(folder.path / "disk", 128 << 10);
  if (!disk.mounted) GTEST_SKIP() << disk.reason;
  log_options options;
  options.file = disk.path / "log";
  ASSERT_TRUE(open_log(options));
  disk.fill();
  const auto before = lost_log_lines();
  for (int i = 0; i < 100; ++i) log_event("filler", {{"text", std::string(1000, 'x')}});
  EXPECT_GT(lost_log_lines(), before);
  close_log();
}

TEST(TheLog, SaysWhyItCannotBeOpened) {
  log_options options;
  options.file = "/no/such/folder/log";
  EXPECT_EQ(open_log(options).error().code, errc::not_found);
}

TEST(Metrics, AreTheSameSeriesUnderTheSameNameAndLabels) { // METRIC-1
  metrics_registry m;
  m.counter("troupe_turns_total", "Turns.", {{"kind", "a"}}).add();
  m.counter("troupe_turns_total", "Turns.", {{"kind", "a"}}).add(2);
  m.counter("troupe_turns_total", "Turns.", {{"kind", "b"}}).add();
  EXPECT_EQ(m.counter("troupe_turns_total", "Turns.", {{"kind", "a"}}).value(), 3);
  auto idle = m.gauge("troupe_engine_idle_ratio", "Idle share.");
  idle.set(0.5);
  idle.add(0.25);
  m.histogram("troupe_commit_seconds", "Commits.").observe(0.003);
  const auto text = m.text();
  EXPECT_TRUE(contains(text, "troupe_turns_total{kind=\"b\"} 1\n")) << text;
  EXPECT_TRUE(contains(text, "troupe_engine_idle_ratio 0.75\n")) << text;
  EXPECT_TRUE(contains(text, "troupe_commit_seconds_bucket{le=\"0.005\"} 1\n")) << text;
  EXPECT_TRUE(contains(text, "# TYPE troupe_commit_seconds histogram\n")) << text;
  EXPECT_TRUE(contains(text, "process_resident_memory_bytes ")) << text;
}

TEST(Metrics, RefuseNamesThatPrometheusWouldNotLike) { // METRIC-2
  metrics_registry m;
  EXPECT_THROW(m.counter("turns_total", "x"), std::invalid_argument);
  EXPECT_THROW(m.counter("troupe_turns", "x"), std::invalid_argument);
  EXPECT_THROW(m.gauge("troupe_turns_total", "x"), std::invalid_argument);
  EXPECT_THROW(m.histogram("troupe_commit_ms", "x"), std::invalid_argument);
  EXPECT_THROW(m.counter("troupe_Turns_total", "x"), std::invalid_argument);
  EXPECT_THROW(m.counter("troupe_turns_total", ""), std::invalid_argument);
  EXPECT_THROW(m.counter("troupe_turns_total", "x", {{"le", "1"}}), std::invalid_argument);
  metric_counter none;
  none.add();
  EXPECT_EQ(none.value(), 0) << "a default-made handle does nothing";
}

TEST(Metrics, PassPromtool) { // METRIC-2
  if (std::system("command -v promtool >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "promtool (package prometheus) is not installed";
  metrics_registry m;
  m.counter("troupe_turns_total", "Turns \\ with \"odd\"\nhelp.", {{"reason", "a\"b\\c\nd"}}).add();
  m.gauge("troupe_policy_version", "Version.").set(3);
  m.gauge("troupe_loss", "Loss.").set(std::numeric_limits<double>::quiet_NaN());
  m.histogram("troupe_commit_seconds", "Commits.", {{"store", "run"}}).observe(0.2);
  test_folder folder;
  const auto file = folder.path / "metrics.txt";
  ASSERT_TRUE(write_file_atomically(file, m.text()));
  const int status = std::system(
      ("promtool check metrics < " + file.string() + " > " + file.string() + ".out 2>&1").c_str());
  EXPECT_EQ(status, 0) << *read_file(file.string() + ".out") << m.text();
}

TEST(ATrace, IsValidJsonWithATrackPerActor) { // TRACE-2
  test_folder folder;
  const auto file = folder.path / "trace.json";
  still_clock time;
  time.at = std::chrono::seconds(100);
  trace_span("rollout 1", "before the start", {}, {});
  ASSERT_TRUE(start_trace(file, time));
  EXPECT_TRUE(tracing());
  const auto second = std::chrono::seconds(1);
  trace_span("rollout 1", "generate", time.at + second, time.at + 2 * second, {{"tokens", 17}});
  trace_event("rollout 2", "parked", time.at + 3 * second);
  {
    scoped_span scope("rollout 1", "tool", time);
    scope.details["name"] = "search";
    time.at += second;
  }
  stop_trace();
  EXPECT_FALSE(tracing());
  trace_span("rollout 1", "after the end", {}, {});
  auto parsed = json::parse(*read_file(file));
  ASSERT_TRUE(parsed) << parsed.error().message;
  auto& events = parsed->as_array();
  ASSERT_EQ(events.size(), 6u); // two tracks, two spans, one moment, the end
  EXPECT_EQ(events[0].at("args").at("name").as_string(), "rollout 1");
  EXPECT_DOUBLE_EQ(events[1].at("ts").to_number<double>(), 1e6);
  EXPECT_DOUBLE_EQ(events[1].at("dur").to_number<double>(), 1e6);
  EXPECT_EQ(events[1].at("args").at("tokens").as_int64(), 17);
  EXPECT_EQ(events[4].at("tid"), events[1].at("tid"));
  EXPECT_EQ(events[4].at("args").at("name").as_string(), "search");
}

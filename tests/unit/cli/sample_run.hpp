#pragma once

#include "cli/report_summary.hpp"
#include <string_view>

namespace troupe {

inline json::object as_object(std::string_view text) { return json::parse(text)->as_object(); }

/// A small run: warm-up, the evaluations before, a message, two steps, a curve point, the evaluations after.
inline std::vector<json::object> sample_records() {
  return {
      as_object(R"({"kind":"stage","stage":"warmup","state":"start"})"),
      as_object(
          R"({"kind":"warmup","step":1,"steps":2,"loss":6.5,"tokens_per_second":8000,"learning_rate":0.002,"eta_seconds":1})"),
      as_object(R"({"kind":"stage","stage":"warmup","state":"done","seconds":221})"),
      as_object(
          R"({"kind":"eval","when":"before","step":0,"sampling":"t1","questions":400,"pass_at_1":0.27,)"
          R"("pass_at_1_ci95":[0.23,0.31],"pass_at_4":0.5,"pass_at_4_ci95":[0.45,0.55],"mean_turns":2.31,)"
          R"("mean_tool_calls":1.4,"format_error_rate":0.15,"format_error_rate_ci95":[0.12,0.18],)"
          R"("by_hops":{"1":{"n":120,"pass_at_1":0.4,"ci95":[0.31,0.49],"pass_at_4":0.6}}})"),
      as_object(
          R"({"kind":"eval","when":"before","step":0,"sampling":"greedy","questions":400,"pass_at_1":0.52,)"
          R"("pass_at_1_ci95":[0.47,0.57],"pass_at_4":null})"),
      as_object(R"({"kind":"stage","stage":"eval_before","state":"done","seconds":20})"),
      as_object(R"({"kind":"message","level":"warning","text":"restarted: \u001b[31mx"})"),
      as_object(
          R"({"kind":"step","step":1,"steps":2,"reward_mean":0.2,"turns_mean":2.3,"tool_calls_mean":1.4,)"
          R"("staleness_mean":0,"staleness_max":0,"max_logprob_gap":1e-5,"restarts":1,"seconds":5})"),
      as_object(R"({"kind":"eval","when":"curve","step":1,"sampling":"t1","questions":400,"pass_at_1":0.4,)"
                R"("pass_at_1_ci95":[0.35,0.45]})"),
      as_object(
          R"({"kind":"step","step":2,"steps":2,"reward_mean":0.5,"turns_mean":2.9,"tool_calls_mean":1.8,)"
          R"("staleness_mean":0.5,"staleness_max":1,"max_logprob_gap":8e-6,"restarts":1,"seconds":11})"),
      as_object(R"({"kind":"stage","stage":"rl","state":"done","seconds":12})"),
      as_object(
          R"({"kind":"eval","when":"after","step":2,"sampling":"t1","questions":400,"pass_at_1":0.61,)"
          R"("pass_at_1_ci95":[0.56,0.66],"pass_at_4":0.8,"pass_at_4_ci95":[0.76,0.84],"mean_turns":3.0,)"
          R"("mean_tool_calls":1.9,"format_error_rate":0.09,"by_hops":{"10":{"n":280,"pass_at_1":0.58,"ci95":[0.52,0.64]},)"
          R"("1":{"n":120,"pass_at_1":0.69,"ci95":[0.61,0.77],"pass_at_4":0.9}}})"),
      as_object(
          R"({"kind":"eval","when":"after","step":2,"sampling":"greedy","questions":400,"pass_at_1":0.87,)"
          R"("pass_at_1_ci95":[0.84,0.9]})"),
      as_object(R"({"kind":"stage","stage":"eval_after","state":"done","seconds":22})"),
  };
}

inline json::object sample_transcript() {
  return as_object(
      R"({"id":"r-1","task":"t-1","question":"Where is Marneuli?","answers":["Asia","asia"],"correct":true,"reward":0.9025,)"
      R"("parts":{"correctness":1},"end":"answered","turns":[{"role":"user","text":"Where is Marneuli?"},)"
      R"({"role":"assistant","text":"<tool_call>{\"name\":\"search\"}</tool_call>","tokens":19,"versions":[3,4],"mean_logprob":-0.041},)"
      R"({"role":"tool","text":"Marneuli: City in Georgia, a long line that must be wrapped. \u001b[31m<script>alert(1)</script>"},)"
      R"({"role":"assistant","text":"<answer>Asia</answer>","tokens":1,"versions":[4,4]}]})");
}

inline json::object sample_extras() {
  auto out = as_object(
      R"({"run":"quickstart <1>","rollouts":{"accepted":1000,"trained":900,"pending":20,"parked":10,)"
      R"("retired":{"equal rewards":60,"tool failure":10}},"cpu":"a CPU & 2 cores",)"
      R"("files":{"report":"runs/x/report.html"}})");
  out["transcripts"] =
      json::array{json::object{{"before", sample_transcript()}, {"after", sample_transcript()}}};
  return out;
}

inline json::object sample_report() { return summarize(sample_records(), sample_extras()); }

} // namespace troupe

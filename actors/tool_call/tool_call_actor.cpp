#include "actors/tool_call/tool_call_actor.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "tools/utf8.hpp"

#include <cmath>

namespace troupe {

metric_counter tool_calls(metrics_registry& in) {
  return in.counter("troupe_tool_calls_total", "Tool calls that ran.");
}

metric_counter tool_cpu_seconds(metrics_registry& in) {
  return in.counter("troupe_tool_cpu_seconds_total", "CPU time inside of tools.");
}

behavior tool_call_actor::make_behavior() {
  change_ = fault_in_answer(*ctx_, "tool", "call", "tool/" + job_.key.text());
  auto time = latency();
  if (change_ && change_->what == fault_kind::slow) time += change_->length;
  if (time > duration(0))
    send_later(self_, time, run_tool{});
  else
    self_->send(self_, run_tool{});
  return {
      [this](const run_tool&) {
        tell(self_, job_.asker, tool_finished{job_.turn, job_.call, run()});
        self_->quit();
      },
  };
}

observation tool_call_actor::run() const {
  auto answer = call();
  // What a tool writes goes into records and prompts: it must be text.
  return {repaired_utf8(answer ? *answer : answer.error().message), !answer};
}

expected<std::string> tool_call_actor::call() const {
  if (change_ && change_->what == fault_kind::fail)
    return fail(errc::unavailable, "the tool failed: injected");
  if (change_ && change_->what == fault_kind::garbage) return std::string("\xff\xfe\x00{]garbage\x80", 13);
  for (const auto& candidate : ctx_->tools) {
    if (candidate->spec().name != job_.what.tool) continue;
    tool_context context;
    context.idempotency_key =
        job_.key.text() + "/" + std::to_string(job_.turn) + "/" + std::to_string(job_.call);
    context.budget = from_seconds(ctx_->config.tools.timeout);
    const auto before = thread_cpu();
    auto answer = candidate->call(job_.what.arguments, context);
    tool_calls(*ctx_->metrics).add();
    tool_cpu_seconds(*ctx_->metrics).add(seconds(thread_cpu() - before));
    return answer;
  }
  return fail(errc::not_found, "no tool is called " + job_.what.tool);
}

duration tool_call_actor::latency() const {
  const double median = ctx_->config.tools.simulated_latency;
  if (median <= 0) return duration(0);
  // Log-normal: p99 / median = exp(2.326 sigma).
  const double sigma = std::log(ctx_->config.tools.simulated_tail) / 2.3263478740408408;
  random_stream draw(derive_seed(derive_seed(ctx_->seed_for("tool latency"), job_.key.number()), job_.turn),
                     job_.call * 2);
  const double time = median * std::exp(sigma * draw.normal());
  return from_seconds(time);
}

} // namespace troupe

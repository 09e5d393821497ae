#include "actors/tool_call/tool_call_actor.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "actors/tool_call/tool_outcomes.hpp"
#include "runtime/base/planted.hpp"
#include "tools/utf8.hpp"

#include <cmath>

namespace troupe {

namespace {

constexpr auto store_patience = std::chrono::seconds(60);
constexpr auto exact_below = std::chrono::seconds(5); ///< 100 ms are 2 % of it

tool* find_tool(const run_context& ctx, std::string_view name) {
  for (const auto& it : ctx.tools)
    if (it->spec().name == name) return it.get();
  return nullptr;
}

/// It is durable before the call: whoever finds it there knows that the call may have been made.
new_record started_record_of(const tool_job& job) {
  json::object body{{"turn", job.turn}, {"call", job.call}, {"tool", job.what.tool}};
  return {stream_of(job.key), "started", "started/" + idempotency_key(job), json::dump(body)};
}

} // namespace

std::string idempotency_key(const tool_job& job) {
  return job.key.text() + "/" + std::to_string(job.turn) + "/" + std::to_string(job.call);
}

bool has_effects(const run_context& ctx, std::string_view tool) {
  const auto* it = find_tool(ctx, tool);
  return it && !it->spec().idempotent;
}

error effect_unknown(const std::string& why) {
  return {errc::uncertain,
          "whether a tool call has had its effect is not known, and it is not called twice: " + why};
}

tool_call_actor::tool_call_actor(self_ptr self, context_ptr ctx, std::shared_ptr<const tool_job> job)
    : self_(self),
      ctx_(std::move(ctx)),
      kept_(std::move(job)),
      job_(*kept_),
      effect_(has_effects(*ctx_, job_.what.tool)) {}

behavior tool_call_actor::make_behavior() {
  if (auto change = fault_in_answer(*ctx_, "tool", "call", "tool/" + job_.key.text()))
    change_ = std::make_unique<const fault_rule>(*std::move(change));
  effect_ ? claim() : begin();
  return {
      [this](const run_tool&) { run(); },
      resume_handler(),
  };
}

void tool_call_actor::claim() {
  ask_named(
      self_, ctx_, names::store, store_patience, append_records{{started_record_of(job_)}, job_.placed},
      [this](const std::vector<append_outcome>& outcomes) {
        first_ = outcomes.at(0).fresh || planted("called_blindly");
        first_ ? begin() : look_back();
      },
      [this](const error& why) {
        if (why.code != errc::in_use) give_up("committing that a call begins", why);
        self_->quit(); // its rollout is placed elsewhere
      });
}

void tool_call_actor::look_back() {
  ask_named(
      self_, ctx_, names::store, store_patience, read_stream{stream_of(job_.key)},
      [this](const std::vector<record>& records) {
        const auto key = tool_record_of(job_.key, job_.turn, job_.call, {}).key;
        for (const auto& r : records) {
          if (r.key != key) continue;
          if (auto result = observation_of(r)) return answer({job_.turn, job_.call, *result, true, {}});
        }
        begin();
      },
      [](const error& why) { give_up("reading the rollout's records", why); });
}

void tool_call_actor::begin() {
  auto time = latency();
  if (change_ && change_->what == fault_kind::slow) time += change_->length;
  if (time >= exact_below)
    send_about(self_, time,
               run_tool{}); // a timer of CAF's would keep this actor in memory when it is long dead
  else if (time > duration(0))
    send_later(self_, time, run_tool{});
  else
    self_->send(self_, run_tool{});
}

void tool_call_actor::run() {
  if (!effect_) return answer({job_.turn, job_.call, observe(call()), false, {}});
  const auto key = idempotency_key(job_);
  if (!ctx_->effects->begin(key)) // a life that is about to be dead is at it
    return send_later(self_, std::chrono::milliseconds(20), run_tool{});
  const std::shared_ptr<void> until_done(nullptr, [this, key](void*) { ctx_->effects->end(key); });
  make_effect();
}

void tool_call_actor::make_effect() { // TOOL-3
  const auto before = find_tool(*ctx_, job_.what.tool)->outcome(idempotency_key(job_));
  if (before.what == tool_outcome::fate::done) {
    probe<"tool: an effect of an earlier life is found">();
    return commit(observe(before.result));
  }
  if (before.what == tool_outcome::fate::unknown && !first_) {
    probe<"tool: nobody knows whether a call had its effect">();
    return answer({job_.turn,
                   job_.call,
                   {},
                   false,
                   effect_unknown("the tool cannot tell (" + idempotency_key(job_) + ")")});
  }
  auto result = observe(call());
  fault_point(*ctx_, "tool", "effect", "tool/" + job_.key.text());
  if (buggify<"tool: it dies behind its effect">()) give_up("buggify", {errc::internal, "on purpose"});
  commit(std::move(result));
}

void tool_call_actor::commit(observation result) {
  auto record = placed_by(job_.placed, tool_record_of(job_.key, job_.turn, job_.call, result));
  ask_named(
      self_, ctx_, names::store, store_patience, append_records{{std::move(record)}, job_.placed},
      [this, result = std::move(result)](const std::vector<append_outcome>&) {
        answer({job_.turn, job_.call, result, true, {}});
      },
      [this](const error& why) {
        if (why.code != errc::conflict && why.code != errc::in_use) give_up("committing a tool result", why);
        self_->quit(); // the rollout did not wait so long: that it did not is the observation
      });
}

void tool_call_actor::answer(tool_finished what) {
  auto asker = effect_ ? ctx_->names->find(stream_of(job_.key)) : job_.asker;
  tell_life(self_, ctx_, stream_of(job_.key), asker, std::move(what), [this] { self_->quit(); });
}

observation tool_call_actor::observe(expected<std::string> answer) const {
  // What a tool writes goes into records and prompts: it must be text.
  return {repaired_utf8(answer ? *answer : answer.error().message), !answer};
}

expected<std::string> tool_call_actor::call() const {
  if (change_ && change_->what == fault_kind::fail)
    return fail(errc::unavailable, std::string(tool_outcomes::injected_failure));
  if (change_ && change_->what == fault_kind::wrong) return std::string(tool_outcomes::injected_shape);
  if (change_ && change_->what == fault_kind::garbage) return std::string(tool_outcomes::injected_garbage);
  auto* it = find_tool(*ctx_, job_.what.tool);
  if (!it) return fail(errc::not_found, "no tool is called " + job_.what.tool);
  tool_context context;
  context.idempotency_key = idempotency_key(job_);
  context.budget = from_seconds(ctx_->config.tools.timeout);
  const auto before = thread_cpu();
  auto answer = it->call(job_.what.arguments, context);
  ctx_->tool_calls.add();
  ctx_->tool_cpu.add(seconds(thread_cpu() - before));
  return answer;
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

#include "actors/judge/judge_actor.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/log.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {
constexpr int alone_after = 3; ///< failures of an episode while others are judged
}

std::string fault_of(const verdict& given) {
  if (!std::isfinite(given.reward)) return "the judge's reward is not a number";
  double sum = 0;
  for (const char* part : {"correctness", "format"}) {
    const auto found = given.parts.find(part);
    if (found == given.parts.end()) return std::string("the judge's answer lacks \"") + part + "\"";
    sum += found->second;
  }
  if (given.parts.size() != 2) return "the judge's answer has parts that the rules do not know";
  if (!(std::abs(sum - given.reward) <= 1e-9)) return "the parts of the judge's reward do not add up to it";
  return {};
}

judge_actor::judge_actor(self_ptr self, context_ptr ctx)
    : self_(self),
      ctx_(std::move(ctx)),
      breaker_(static_cast<int>(ctx_->config.judge.trip_after),
               from_seconds(ctx_->config.judge.probe_every)) {}

behavior judge_actor::make_behavior() {
  return {
      [this](const judge_request& ask) -> result<verdict> {
        reply<verdict> answer(self_);
        auto promise = answer.promise();
        auto same = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const waiting& it) { return it.finished == ask.finished; });
        if (same == waiting_.end()) {
          waiting_.push_back({ask.finished, {}, ctx_->time->now(), 0, 0});
          same = std::prev(waiting_.end());
        }
        same->askers.push_back(std::move(answer));
        judge_waiting();
        return promise;
      },
      resume_handler(),
  };
}

void judge_actor::judge_waiting() {
  if (slow_) return;
  while (!waiting_.empty() && breaker_.may_try(ctx_->time->now())) {
    auto it = std::move(waiting_.front());
    waiting_.pop_front();
    duration takes{0};
    auto given = ask_judge(*it.finished, takes);
    if (!given && given.error().code == errc::invalid) { // the asker's error, not the judge's
      if (breaker_.open()) breaker_.failed(ctx_->time->now());
      for (auto& asker : it.askers) asker.fail(given.error());
      continue;
    }
    if (!given) {
      if (!failed(it, given.error())) waiting_.push_back(std::move(it));
      continue;
    }
    ++judged_;
    if (breaker_.succeeded()) log_event("judge_answers_again", {{"waiting", waiting_.size()}});
    if (takes > duration(0)) { // one judge: the others wait for it
      slow_ = true;
      auto held = std::make_shared<waiting>(std::move(it));
      return send_later(self_, takes, resume_later{[this, held, verdict = *given] {
                          slow_ = false;
                          for (auto& asker : held->askers) asker.deliver(verdict);
                          judge_waiting();
                        }});
    }
    for (auto& asker : it.askers) asker.deliver(*given);
  }
  if (waiting_.empty() || std::exchange(probe_planned_, true)) return;
  const auto until =
      std::max(breaker_.next_probe() - ctx_->time->now(), duration(std::chrono::milliseconds(1)));
  send_later(self_, until, resume_later{[this] {
               probe_planned_ = false;
               judge_waiting();
             }});
}

bool judge_actor::failed(waiting& it, const error& why) {
  const auto now = ctx_->time->now();
  if (breaker_.failed(now)) {
    probe<"judge: the breaker opens">();
    ctx_->metrics
        ->counter("troupe_judge_trips_total", "Times that rollouts began to wait for a failing judge.")
        .add();
    log_event("judge_fails", {{"reason", to_string(why)}, {"failures", ctx_->config.judge.trip_after}},
              log_level::warning);
  }
  if (it.failures++ == 0) it.judged_before = judged_;
  const bool alone = it.failures >= alone_after && judged_ > it.judged_before; // JUDGE-3
  if (!alone && now - it.since < from_seconds(ctx_->config.judge.patience)) return false;
  probe<"judge: an episode fails for good">();
  for (auto& asker : it.askers) asker.fail({errc::internal, "the judge failed: " + why.message});
  return true;
}

expected<verdict> judge_actor::ask_judge(const episode& finished, duration& takes) const {
  auto given = [&]() -> expected<verdict> {
    if (const auto change = fault_in_answer(*ctx_, "judge", "verdict", names::judge)) {
      verdict nonsense;
      switch (change->what) {
      case fault_kind::slow: takes = change->length; break;
      case fault_kind::garbage: nonsense.reward = std::nan(""); return nonsense;
      case fault_kind::wrong: nonsense.reward = 1, nonsense.parts = {{"score", 1}}; return nonsense;
      default: return fail(errc::unavailable, "injected");
      }
    }
    if (buggify<"judge: it fails">()) return fail(errc::internal, "the judge failed (on purpose)");
    return judge_answer(finished, ctx_->config.reward_shape());
  }();
  if (!given) return given;
  if (auto fault = fault_of(*given); !fault.empty()) return fail(errc::corrupt, std::move(fault)); // JUDGE-1
  return given;
}

} // namespace troupe

#include "actors/evaluator/evaluator_actor.hpp"

#include "actors/cluster/cluster_messages.hpp"
#include "actors/rollout/rollout_actor.hpp"

namespace troupe {

behavior evaluator_actor::make_behavior() {
  return {
      [this](const evaluate& ask) -> result<metric_record> {
        reply<metric_record> answer(self_);
        auto promise = answer.promise();
        const bool same = asker_ && what_.round == ask.round; // asked again: the older asker is dead
        asker_.emplace(std::move(answer));
        if (same) return promise;
        what_ = ask;
        started_ = ctx_->time->now();
        failed_ = 0;
        waiting_.clear();
        running_.clear();
        results_.clear();
        const auto questions =
            std::min(ctx_->heldout.size(), static_cast<std::size_t>(std::max(0, ask.questions)));
        for (std::size_t q = 0; q < questions; ++q) {
          results_.push_back({ctx_->heldout[q].id, ctx_->heldout[q].hops});
          for (int sample = 0; sample < ask.samples; ++sample) waiting_.push_back(key_of(q, sample));
        }
        fill();
        return promise;
      },
      [this](const rollout_finished& end) -> result<done> {
        const auto& key = end.what->key();
        if (!running_.contains(key)) return noted(self_);
        results_[(key.group & 0xfffff)].add(end.what->state(), *end.what->judged());
        ended(key);
        return noted(self_);
      },
      [this](const rollout_failed& end) -> result<done> {
        if (!running_.contains(end.key)) return noted(self_);
        ++failed_;
        ended(end.key);
        return noted(self_);
      },
      [this](const rollouts_lost&) {
        waiting_.insert(waiting_.begin(), running_.begin(), running_.end());
        running_.clear();
        fill();
      },
      resume_handler(),
  };
}

rollout_key evaluator_actor::key_of(std::size_t question, int sample) const {
  return {purpose::evaluation, (what_.round << 20) + question, static_cast<std::uint32_t>(sample)};
}

void evaluator_actor::ended(const rollout_key& key) {
  running_.erase(key);
  if (ctx_->cluster) tell(self_, ctx_->names->find(names::cluster), rollout_over{key});
  fill();
}

void evaluator_actor::want_slots(std::size_t n) {
  if (ctx_->evaluation_slots->exchange(n) != n) tell_surely(self_, ctx_, names::manager, slots_changed{});
}

void evaluator_actor::fill() {
  want_slots(waiting_.size() + running_.size());
  while (!waiting_.empty() &&
         running_.size() < static_cast<std::size_t>(ctx_->config.rollout.max_concurrent)) {
    const auto key = waiting_.front();
    waiting_.pop_front();
    running_.insert(key);
    rollout_job job{key, shared_task(ctx_, ctx_->heldout[key.group & 0xfffff]), {}, 0, names::evaluator};
    job.sampling.temperature = what_.sampling == "greedy" ? 0.0 : 1.0;
    start_rollout(self_, ctx_, job, [this, key](const error&) {
      if (!running_.contains(key)) return;
      ++failed_;
      ended(key);
    });
  }
  if (!waiting_.empty() || !running_.empty() || !asker_) return;
  auto record = eval_record(results_, {what_.when, static_cast<std::int64_t>(what_.step), what_.sampling,
                                       seconds(ctx_->time->now() - started_)});
  record["failed_rollouts"] = failed_;
  record["round"] = what_.round;
  asker_->deliver(metric_record{std::move(record)});
  asker_.reset();
}

} // namespace troupe

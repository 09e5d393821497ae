#include "actors/engine/engine_actor.hpp"

namespace troupe {

engine_actor::engine_actor(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {
  ctx_->threads.name_own("engine");
  auto core = ctx_->parts.make_engine();
  if (!core) give_up("starting the engine", core.error());
  core_ = std::move(*core);
  started_ = ctx_->time->now();
  if (auto published = ctx_->board->current(); published.weights) {
    core_->set_weights(published.weights, published.version, kv_policy::recompute);
    version_ = published.version;
    has_weights_ = true;
  }
}

behavior engine_actor::make_behavior() {
  return {
      [this](const generate& ask) -> result<generated> {
        reply<generated> answer(self_);
        auto promise = answer.promise();
        const auto sequence = ask.request.sequence;
        if (open_.contains(sequence)) { // ENGA-3
          core_->cancel(sequence);
          open_.erase(sequence);
        }
        if (!has_weights_) {
          answer.fail({errc::unavailable, "the engine has no weights yet"});
        } else if (auto ok = core_->submit(ask.request); !ok) {
          answer.fail(ok.error());
        } else {
          open_.emplace(sequence, std::move(answer));
          schedule();
        }
        return promise;
      },
      [this](const new_weights& update) -> result<done> {
        if (!has_weights_ || update.version != version_) {
          const auto policy = ctx_->config.rl.kv_on_update == "keep" ? kv_policy::keep : kv_policy::recompute;
          core_->set_weights(update.weights, update.version, policy);
          version_ = update.version;
          has_weights_ = true;
        }
        return done{};
      },
      [this](const forget_sequence& gone) { core_->forget(gone.sequence); },
      [this](const engine_step&) { step(); },
      [this](const engine_status_request&) {
        return engine_status{core_->stats(), seconds(busy_), seconds(ctx_->time->now() - started_)};
      },
      resume_handler(),
  };
}

void engine_actor::schedule() {
  if (std::exchange(scheduled_, true)) return;
  self_->send(self_, engine_step{}); // behind what is waiting in the mailbox: new requests join this step
}

void engine_actor::step() {
  scheduled_ = false;
  finished_.clear();
  const auto start = ctx_->time->now();
  const bool more = core_->step(finished_);
  busy_ += ctx_->time->now() - start;
  for (auto& turn : finished_) {
    auto found = open_.find(turn.sequence);
    if (found == open_.end()) continue; // replaced or cancelled meanwhile
    if (turn.reason == finish_reason::aborted)
      found->second.fail({errc::unavailable, "the engine ended the turn for new weights"});
    else if (turn.reason == finish_reason::failed)
      found->second.fail({errc::internal, "the policy's logits are no numbers"});
    else
      found->second.deliver(std::move(turn));
    open_.erase(found);
  }
  if (more) schedule();
}

} // namespace troupe

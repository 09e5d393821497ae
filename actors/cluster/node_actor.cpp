#include "actors/cluster/node_actor.hpp"

#include "actors/rollout/rollout_actor.hpp"
#include "runtime/base/planted.hpp"
#include "runtime/log.hpp"

#include <algorithm>

namespace troupe {

namespace {
constexpr auto local_patience = std::chrono::seconds(60);
} // namespace

behavior node_actor::make_behavior() {
  lapse("a new life of the node's actor");
  beat();
  return {
      [this](const tick&) { beat(); },
      [this](const place_rollout& what) -> result<done> {
        const auto& key = what.job.key;
        if (!present(what.job.placed.epoch)) return to_caf({errc::in_use, "another epoch"});
        auto& newest = newest_[key];
        const auto stopped = stopped_.find(key);
        if (what.job.placed.placement < newest ||
            (stopped != stopped_.end() && what.job.placed.placement <= stopped->second)) {
          probe<"node: a placement comes late">();
          return done{}; // NODE-5
        }
        newest = what.job.placed.placement;
        start(what.job);
        return done{};
      },
      [this](const stop_placed& what) { return stop(what); },
      [this](const park_placed& what) {
        if (what.placed == placed_now(what.key))
          what.yield ? tell(self_, ctx_->names->find_here(stream_of(what.key)), yield_slot{})
                     : tell(self_, ctx_->names->find_here(stream_of(what.key)), park_rollout{what.soon});
      },
      [this](const publish_weights& what) { return publish(what); },
      [this](const rollouts_lost&) {
        if (epoch_ != 0)
          ask_named(
              self_, ctx_, names::cluster, std::chrono::hours(1), rollouts_died{epoch_}, [](const done&) {},
              [](const error&) {}); // fenced by then: they run elsewhere
      },
      [this](const rollout_failed& news) { give_up_rollout(news.key, news.reason); },
      resume_handler(),
  };
}

// -- membership ------------------------------------------------------------------------------------------------------------------

bool node_actor::present(std::uint64_t epoch) const {
  return epoch != 0 && epoch == epoch_ && ctx_->cluster->lease.holds(*ctx_->time);
}

void node_actor::lapse(const char* why) {
  if (epoch_ != 0) log_event("node_lapsed", {{"epoch", epoch_}, {"why", why}}, log_level::warning);
  ctx_->cluster->lease.end();
  epoch_ = 0;
  ++attempt_;
  newest_.clear();
  stopped_.clear();
  for (const auto& name : {names::rollouts, names::tools}) kill(ctx_->names->find_here(name)); // NODE-4
}

void node_actor::beat() {
  const auto& timing = ctx_->cluster->timing;
  send_later(self_, timing.heartbeat, tick{});
  if (epoch_ == 0) return join();
  if (!ctx_->cluster->lease.holds(*ctx_->time)) {
    probe<"node: its lease runs out">();
    lapse("its lease ran out");
    return join();
  }
  ask(
      self_, ctx_->names->find_here(names::engine), timing.answer, engine_status_request{},
      [this](const engine_status& engine) { engine_ = engine; }, [](const error&) {});
  const auto asked = node_lease::now(*ctx_->time); // LEASE-1
  ask(
      self_, ctx_->cluster->find_head(), timing.lease, heartbeat{epoch_, actor_ref(self_), engine_},
      [this, asked, epoch = epoch_](const head_names& names) {
        if (epoch != epoch_) return;
        ctx_->cluster->lease.grant(
            epoch_, std::max(asked + ctx_->cluster->timing.lease, ctx_->cluster->lease.until()));
        take_names(names);
      },
      [this, epoch = epoch_](const error& why) {
        if (why.code != errc::in_use || epoch != epoch_) return;
        probe<"node: it hears that it is fenced">();
        lapse("the head says that its epoch is over");
        join();
      });
}

void node_actor::join() {
  const auto asked = node_lease::now(*ctx_->time);
  ask(
      self_, ctx_->cluster->find_head(), ctx_->cluster->timing.lease,
      join_cluster{ctx_->cluster->node, actor_ref(self_), attempt_},
      [this, asked, attempt = attempt_](const joined& as) {
        if (epoch_ != 0 || attempt != attempt_) return;
        epoch_ = as.epoch;
        publication_ = 0;
        ctx_->cluster->lease.grant(epoch_, asked + ctx_->cluster->timing.lease);
        take_names(as.names);
      },
      [this, attempt = attempt_](const error& why) {
        if (why.code == errc::in_use && attempt == attempt_ && epoch_ == 0) ++attempt_;
      }); // the next beat asks again
}

void node_actor::take_names(const head_names& from) { ctx_->names->set_elsewhere(from); }

write_fence node_actor::placed_now(const rollout_key& key) const {
  const auto found = newest_.find(key);
  return found == newest_.end() ? write_fence{} : write_fence{epoch_, found->second};
}

// -- what is placed here -----------------------------------------------------------------------------------------------------------

void node_actor::start(const rollout_job& job) {
  start_rollout_here(self_, ctx_, job, [this, job](const error& why) {
    if (placed_now(job.key) == job.placed) give_up_rollout(job.key, why);
  });
}

result<done> node_actor::stop(const stop_placed& what) {
  reply<done> answer(self_);
  auto promise = answer.promise();
  if (!present(what.placed.epoch)) {
    answer.fail({errc::in_use, "another epoch"});
    return promise;
  }
  auto& stopped = stopped_[what.key];
  stopped = std::max(stopped, what.placed.placement);
  if (placed_now(what.key).placement > stopped) {
    answer.deliver(done{}); // a newer one runs
    return promise;
  }
  auto shared = std::make_shared<reply<done>>(std::move(answer));
  ask_named(
      self_, ctx_, names::rollouts, local_patience, stop_child{stream_of(what.key)},
      [shared](const done&) { shared->deliver(done{}); },
      [shared](const error& why) {
        if (why.code == errc::not_found)
          shared->deliver(done{});
        else
          shared->fail(why);
      });
  return promise;
}

void node_actor::give_up_rollout(const rollout_key& key, const error& why) {
  const auto placed = placed_now(key);
  if (placed.epoch == 0) return;
  ask_named(
      self_, ctx_, names::cluster, std::chrono::hours(1), rollout_given_up{placed, key, why},
      [](const done&) {}, [](const error&) {}); // fenced by then: another node goes on with it
  ask(                                          // a person may have it tried again
      self_, ctx_->names->find_here(names::rollouts), local_patience, stop_child{stream_of(key)},
      [](const done&) {}, [](const error&) {});
}

// -- weights -----------------------------------------------------------------------------------------------------------------------

result<done> node_actor::publish(const publish_weights& what) {
  reply<done> answer(self_);
  auto promise = answer.promise();
  if (!present(what.epoch)) {
    answer.fail({errc::in_use, "another epoch"});
    return promise;
  }
  if (what.number < publication_) { // NODE-6
    probe<"node: a publication comes late">();
    answer.deliver(done{});
    return promise;
  }
  publication_ = what.number;
  ctx_->board->publish(what.weights, what.version, what.lineage, what.checksum);
  if (ctx_->board->confirmed() > what.version) ctx_->board->confirm(what.version);
  auto shared = std::make_shared<reply<done>>(std::move(answer));
  ask_named(
      self_, ctx_, names::engine, local_patience, new_weights{what.weights, what.version, what.lineage},
      [this, shared, number = what.number, version = what.version](const done&) {
        if (number == publication_) ctx_->board->confirm(version);
        shared->deliver(done{});
      },
      [shared](const error& why) { shared->fail(why); });
  return promise;
}

} // namespace troupe

#include "actors/run_replay.hpp"

#include "actors/learner/learner_actor.hpp"
#include "actors/replay_buffer/batch_making.hpp"
#include "actors/tool_call/tool_outcomes.hpp"
#include "actors/turn_check.hpp"
#include "gpu/machine.hpp"
#include "tools/utf8.hpp"

#include <algorithm>

namespace troupe {

namespace {

struct difference {
  std::string what, found, expected;
  std::string rollout;
  std::optional<std::uint64_t> turn, token;
  std::string note;
};

class replayer {
public:
  replayer(context_ptr ctx, event_store& store, replay_options options)
      : ctx_(std::move(ctx)), store_(store), options_(std::move(options)), check_(*ctx_) {}

  expected<json::object> run() {
    auto events = read_events(store_);
    if (!events) return fail(events.error());
    events_ = std::move(*events);
    std::uint64_t newest = 0;
    for (const auto& event : events_)
      if (!event.rollback) newest = std::max(newest, event.step + 1);
    if (options_.first > newest || options_.first > options_.last)
      return fail(errc::invalid, "the run has steps 1.." + std::to_string(newest) + ", found " +
                                     std::to_string(options_.first) + ".." + std::to_string(options_.last));
    auto first = start();
    if (!first) return fail(first.error());
    if (!found_) {
      if (auto ok = read_rollouts(*first); !ok) return fail(ok.error());
      if (auto ok = weights_made(0); !ok) return fail(ok.error());
      for (auto i = *first; i < events_.size() && !found_; ++i) {
        const auto& event = events_[i];
        if (!event.rollback && event.step + 1 > options_.last) break;
        if (auto ok = event.rollback ? go_back(event, i) : step(event, i); !ok) return fail(ok.error());
      }
    }
    return summary();
  }

private:
  // -- start

  bool to_compare(const recorded_event& event) const {
    return !event.rollback && event.step + 1 >= options_.first && event.step + 1 <= options_.last;
  }

  /// Takes the weights that the replay begins with; gives the event that it begins with. The newest checkpoint that is old enough, or
  /// version 0 from the cache or by a warm-up.
  expected<std::size_t> start() {
    if (options_.first > 1)
      if (auto folders = list_checkpoints(ctx_->folder / "checkpoints"))
        for (const auto& folder : *folders) {
          auto stored = load_checkpoint(folder);
          if (!stored || stored->version >= options_.first) continue;
          for (std::size_t i = events_.size(); i-- > 0;)
            if (!events_[i].rollback && events_[i].step + 1 == stored->version &&
                events_[i].made.after == weights_checksum(stored->weights)) {
              if (auto ok = begin_with(stored->weights, stored->optimizer ? &*stored->optimizer : nullptr,
                                       stored->version);
                  !ok)
                return fail(ok.error());
              return i + 1;
            }
        }
    const auto first =
        std::find_if(events_.begin(), events_.end(), [](const auto& e) { return !e.rollback; });
    if (auto ok = begin_fresh(first->made); !ok) return fail(ok.error());
    compare_weights("the weights before the first step", first->made, first->made.before);
    return 0;
  }

  /// Version 0: as it was kept, or made again.
  expected<void> begin_fresh(const step_made& made) {
    const bool adapted = ctx_->config.learner.lora_rank > 0; // adapters are in no kept weights
    if (!adapted) {
      if (auto stored = load_checkpoint(ctx_->folder / "checkpoints" / "step-0");
          stored && weights_checksum(stored->weights) == made.before)
        return begin_with(stored->weights, nullptr, 0);
      if (ctx_->parts.load_warmup)
        if (auto cached = ctx_->parts.load_warmup(); cached && weights_checksum(*cached) == made.before)
          return begin_with(*cached, nullptr, 0);
    }
    auto fresh =
        ctx_->parts.start_weights
            ? ctx_->parts.start_weights()
            : expected<model_weights>(initial_weights(ctx_->model_shape(), ctx_->seed_for("weights")));
    if (!fresh) return fail(fresh.error());
    auto model = ctx_->parts.make_learner(*fresh);
    if (!model) return fail(model.error());
    model_ = std::move(*model);
    if (ctx_->config.warmup.enabled)
      for (std::int64_t step = 0; step < ctx_->config.warmup.steps; ++step)
        if (auto ok = model_->sft_step(ctx_->warmup_batch(step), warm_up_rate(ctx_->config, step)); !ok)
          return fail(ok.error());
    model_->reset_optimizer();
    checksum_ = weights_checksum(*model_->snapshot());
    return {};
  }

  expected<void> begin_with(const model_weights& weights, const model_weights* optimizer,
                            std::uint64_t version) {
    auto start =
        ctx_->config.learner.lora_rank == 0 ? expected<model_weights>(weights)
        : ctx_->parts.start_weights
            ? ctx_->parts.start_weights()
            : expected<model_weights>(initial_weights(ctx_->model_shape(), ctx_->seed_for("weights")));
    if (!start) return fail(start.error());
    auto made = ctx_->parts.make_learner(*start);
    if (!made) return fail(made.error());
    model_ = std::move(*made);
    if (auto ok = model_->restore(weights, optimizer); !ok) return ok;
    version_ = oldest_ = version;
    checksum_ = weights_checksum(weights);
    return {};
  }

  expected<void> read_rollouts(std::size_t first) {
    const auto attempts = static_cast<std::uint32_t>(ctx_->config.rl.group_size);
    for (auto i = first; i < events_.size(); ++i) {
      const auto& event = events_[i];
      if (event.rollback || event.step + 1 > options_.last) continue;
      std::uint64_t taken = 0;
      for (auto group : event.groups)
        for (std::uint32_t attempt = 0; attempt < attempts; ++attempt) {
          const rollout_key key{purpose::train, group, attempt};
          if (!rollouts_.contains(key)) {
            auto read = read_recorded(store_, *ctx_, key);
            if (!read) return fail(read.error());
            rollouts_.emplace(key, std::move(*read));
          }
          if (!to_compare(event) || taken++ >= options_.rollouts || check_.of(key)) continue;
          check_.add(key, &rollouts_.at(key), oldest_);
        }
    }
    return {};
  }

  // -- events

  expected<void> weights_made(std::uint64_t after) {
    const auto weights = model_->snapshot();
    return check_.weights(weights, version_, after);
  }

  expected<void> go_back(const recorded_event& event, std::size_t) {
    if (event.step == version_) return {};
    const auto kept = kept_.find(event.step);
    if (kept == kept_.end()) {
      differ({"the order of steps", "weights that go back to version " + std::to_string(event.step),
              "a version that was there, at most " + std::to_string(version_)});
      return {};
    }
    version_ = event.step;
    checksum_ = weights_checksum(kept->second.first);
    return model_->restore(kept->second.first, &kept->second.second);
  }

  /// Whether a rollback that comes later goes back to the version that the weights have now.
  bool needed_later(std::size_t i) const {
    return std::any_of(events_.begin() + static_cast<std::ptrdiff_t>(i), events_.end(),
                       [&](const auto& e) { return e.rollback && e.step == version_; });
  }

  expected<void> step(const recorded_event& event, std::size_t i) {
    const auto start = ctx_->time->now();
    at_step_ = event.step + 1;
    if (event.step != version_)
      return differ({"the order of steps", "step " + std::to_string(event.step + 1),
                     "step " + std::to_string(version_ + 1)});
    if (!compare_weights("the weights before the step", event.made, event.made.before)) return {};
    if (needed_later(i)) kept_[version_] = {*model_->snapshot(), model_->optimizer_state()};
    const auto before = counts_;
    if (to_compare(event))
      if (auto ok = compare_rollouts(event); !ok || found_) return ok;
    auto what = batch_of(event);
    if (!what || found_) return {};
    if (!compare_consumption(event, consumption_of(*what))) return {};
    if (!what->samples.empty()) {
      const auto ptx = ctx_->ptx_batch ? ctx_->ptx_batch(version_) : std::vector<sft_sample>{};
      auto ok =
          model_->rl_step(what->samples, ptx, ctx_->config.rl_shape(event.made.learning_rate), version_);
      if (!ok) return fail(ok.error());
    }
    ++version_;
    checksum_ = weights_checksum(*model_->snapshot());
    ++counts_.steps;
    if (!compare_weights("the weights that the step made", event.made, event.made.after)) return {};
    if (auto ok = weights_made(event.seq); !ok) return ok;
    if (options_.on_step)
      options_.on_step({{"step", at_step_},
                        {"rollouts", counts_.rollouts - before.rollouts},
                        {"turns", counts_.turns - before.turns},
                        {"tokens", counts_.tokens - before.tokens},
                        {"tool_calls", counts_.tool_calls - before.tool_calls},
                        {"seconds", seconds(ctx_->time->now() - start)}});
    return {};
  }

  // -- rollouts

  expected<void> compare_rollouts(const recorded_event& event) {
    const auto attempts = static_cast<std::uint32_t>(ctx_->config.rl.group_size);
    std::uint64_t taken = 0;
    for (auto group : event.groups)
      for (std::uint32_t attempt = 0; attempt < attempts && !found_; ++attempt) {
        if (taken++ >= options_.rollouts) return {};
        const rollout_key key{purpose::train, group, attempt};
        if (auto ok = compare_rollout(key); !ok) return ok;
      }
    return {};
  }

  expected<void> compare_rollout(const rollout_key& key) {
    const auto& recorded = rollouts_.at(key);
    const auto& again = *check_.of(key);
    ++counts_.rollouts;
    for (std::uint64_t t = 0; t < recorded.turns.size(); ++t) {
      const auto& turn = recorded.turns[t];
      for (const auto& part : again[t].parts) {
        if (part.equal) {
          counts_.tokens += part.end - part.begin;
          continue;
        }
        if (part.tried) return differ({"a turn", part.found, part.expected, key.text(), t, part.at});
        return differ(
            {"a turn", "sampled by version " + std::to_string(part.version),
             "a version that was published when it was sampled, at most " + std::to_string(version_),
             key.text(), t, part.begin});
      }
      ++counts_.turns;
      for (std::size_t c = 0; c < turn.calls.size(); ++c)
        if (!compare_call(key, t, c, turn.calls[c])) return {};
    }
    if (recorded.broken)
      return differ({"a record", recorded.broken->message, "one that fits what came before", key.text(),
                     recorded.turns.empty() ? 0 : recorded.turns.size() - 1});
    return compare_verdict(key, recorded);
  }

  bool compare_call(const rollout_key& key, std::uint64_t turn, std::size_t number,
                    const recorded_turn::call& call) {
    if (!call.result) return true; // it failed before
    ++counts_.tool_calls;
    const auto tool = std::find_if(ctx_->tools.begin(), ctx_->tools.end(),
                                   [&](const auto& one) { return one->spec().name == call.what.tool; });
    if (tool == ctx_->tools.end() || !(*tool)->spec().idempotent ||
        tool_outcomes::of_the_moment(*call.result)) {
      ++counts_.as_recorded; // REPL-2
      return true;
    }
    auto answer = (*tool)->call(call.what.arguments, {});
    const observation expected{repaired_utf8(answer ? *answer : answer.error().message), !answer};
    if (expected.text == call.result->text && expected.failed == call.result->failed) return true;
    (void)differ({"the result of tool call " + std::to_string(number), call.result->text, expected.text,
                  key.text(), turn});
    return false;
  }

  expected<void> compare_verdict(const rollout_key& key, const recorded_rollout& recorded) {
    if (!recorded.read->judged()) return {}; // batch_of says whether that may be
    ++counts_.verdicts;
    auto again = judge_answer(recorded.read->state(), ctx_->config.reward_shape());
    if (!again) return fail(again.error());
    const auto& there = *recorded.read->judged();
    const auto text = [](const verdict& v) {
      json::object out{{"reward", v.reward}, {"correct", v.correct}};
      for (const auto& [name, value] : v.parts) out[name] = value;
      return json::dump(out);
    };
    if (text(there) != text(*again)) return differ({"the verdict", text(there), text(*again), key.text()});
    return {};
  }

  // -- the batch

  /// From the records. Which rollouts failed, and whether by quarantine, is in the consumption: it depends on kills.
  batch_ptr batch_of(const recorded_event& event) {
    std::map<std::string, std::string, std::less<>> failures;
    if (const auto* list = event.consumed.at("retired").if_array())
      for (const auto& pair : *list)
        if (const auto* p = pair.if_array();
            p && p->size() == 2 && (*p)[0].is_string() && (*p)[1].is_string())
          if ((*p)[1] == "failed" || (*p)[1] == "quarantined" || (*p)[1] == "effect_unknown")
            failures[std::string((*p)[0].get_string())] = (*p)[1].get_string();
    std::vector<ended_group> groups(event.groups.size());
    std::vector<const ended_group*> members;
    const auto attempts = static_cast<std::uint32_t>(ctx_->config.rl.group_size);
    for (std::size_t g = 0; g < groups.size(); ++g) {
      members.push_back(&groups[g]);
      for (std::uint32_t attempt = 0; attempt < attempts; ++attempt) {
        const rollout_key key{purpose::train, event.groups[g], attempt};
        const auto& recorded = rollouts_.at(key);
        const auto failure = failures.find(key.text());
        if (failure != failures.end() && (recorded.failed || !recorded.read->judged())) {
          const auto code = failure->second == "quarantined"      ? errc::exhausted
                            : failure->second == "effect_unknown" ? errc::uncertain
                                                                  : errc::cancelled;
          groups[g].failed.emplace(attempt, error{code, ""});
        } else if (recorded.read->judged() && !recorded.broken) {
          groups[g].finished.emplace(attempt, recorded.read);
        } else {
          (void)differ({"a consumed rollout",
                        recorded.broken ? recorded.broken->message : "neither a verdict nor a failure",
                        "one of them", key.text()});
          return nullptr;
        }
      }
    }
    return make_batch(*ctx_, event.step, 0, event.groups, members);
  }

  bool compare_consumption(const recorded_event& event, const json::object& again) {
    for (const char* list : {"trained", "retired"}) {
      const auto& there = event.consumed.at(list).as_array();
      const auto& here = again.at(list).as_array();
      for (std::size_t i = 0; i < std::max(there.size(), here.size()); ++i) {
        const auto text = [i](const json::array& from) {
          return i < from.size() ? json::dump(from[i]) : "nothing";
        };
        if (i < there.size() && i < here.size() && there[i] == here[i]) continue;
        (void)differ({"what the step consumed: " + std::string(list) + ", place " + std::to_string(i),
                      text(there), text(here)});
        return false;
      }
    }
    return true;
  }

  // -- differences

  expected<void> differ(difference what) {
    if (!found_) found_ = std::move(what);
    return {};
  }

  bool compare_weights(const std::string& what, const step_made& made, const std::string& recorded) {
    recorded_on_ = made.machine;
    if (checksum_ == recorded) return true;
    difference it{what, recorded, checksum_};
    if (made.machine != machine_description())
      it.note = "recorded on " + made.machine + ", replayed on " + machine_description() +
                ": the learner's last bits depend on the processor, so this need not be a fault of the run";
    else if (made.threads != ctx_->config.learner.threads)
      it.note = "recorded with learner.threads " + std::to_string(made.threads) + ", replayed with " +
                std::to_string(ctx_->config.learner.threads) + ": gradients are added by thread";
    (void)differ(std::move(it));
    return false;
  }

  json::object summary() const {
    json::value first(nullptr);
    if (found_) {
      json::object it{{"step", at_step_}, {"what", found_->what}};
      if (!found_->rollout.empty()) it["rollout"] = found_->rollout;
      if (found_->turn) it["turn"] = *found_->turn;
      if (found_->token) it["token"] = *found_->token;
      it["found"] = found_->found;
      it["expected"] = found_->expected;
      if (!found_->note.empty()) it["note"] = found_->note;
      first = std::move(it);
    }
    std::uint64_t undone = 0;
    for (const auto& event : events_) undone += event.rollback;
    return {{"equal", !found_},
            {"difference", std::move(first)},
            {"steps", counts_.steps},
            {"rollbacks", undone},
            {"rollouts", counts_.rollouts},
            {"turns", counts_.turns},
            {"tokens", counts_.tokens},
            {"tool_calls", counts_.tool_calls},
            {"as_recorded", counts_.as_recorded},
            {"verdicts", counts_.verdicts},
            {"not_compared", check_.not_compared()},
            {"weights", checksum_},
            {"machine", json::object{{"recorded", recorded_on_}, {"here", machine_description()}}}};
  }

  struct counts {
    std::uint64_t steps = 0, rollouts = 0, turns = 0, tokens = 0, tool_calls = 0, as_recorded = 0,
                  verdicts = 0;
  };

  context_ptr ctx_;
  event_store& store_;
  replay_options options_;
  turn_check check_;
  std::vector<recorded_event> events_;
  std::map<rollout_key, recorded_rollout> rollouts_;
  std::unique_ptr<learner> model_;
  std::uint64_t version_ = 0, oldest_ = 0, at_step_ = 0;
  std::string checksum_, recorded_on_;
  std::map<std::uint64_t, std::pair<model_weights, model_weights>> kept_; ///< that a rollback goes back to
  std::optional<difference> found_;
  counts counts_;
};

} // namespace

expected<json::object> replay_run(const context_ptr& ctx, event_store& store, const replay_options& options) {
  if (ctx->config.rl.kv_on_update == "keep")
    return fail(errc::invalid,
                "rl.kv_on_update is keep, expected recompute: after keep a token depends on where in its "
                "rollout the weights changed, which is no function of what is recorded");
  if (ctx->config.engine.device != "cpu")
    return fail(errc::invalid, "engine.device is " + ctx->config.engine.device +
                                   ", expected cpu: the sums of other devices depend on what was computed "
                                   "together, and nothing of them is equal bit for bit");
  return replayer(ctx, store, options).run();
}

} // namespace troupe

#include "sim/checks.hpp"

#include "gpu/advantage.hpp"
#include "runtime/base/planted.hpp"
#include "sim/books.hpp"
#include "sim/node_checks.hpp"
#include "sim/run.hpp"
#include <algorithm>
#include <deque>
#include <mutex>
#include <set>

namespace troupe::sim {

namespace {

using finding = std::optional<std::string>;

std::string text(std::uint64_t n) { return std::to_string(n); }
std::uint64_t rollouts(const evidence& of) { return static_cast<std::uint64_t>(of.drawn.group_size); }

finding liveness(const evidence& of) {
  if (!of.ended)
    return "the run has not ended after " + text(static_cast<std::uint64_t>(seconds(of.virtual_time))) +
           " virtual seconds\n" + of.state;
  if (of.end_reason) return "the run ended with " + to_string(*of.end_reason);
  return {};
}

finding conservation(const evidence& of) {
  auto book = fold_ledger(of.admissions, of.consumptions, of.retirements, of.rollbacks);
  if (!book) return "the books cannot be read: " + to_string(book.error());
  std::uint64_t trained = 0, retired = 0, consumed = 0;
  for (const auto& step : counted_consumptions(of)) {
    trained += step.trained.size();
    retired += step.retired.size();
    consumed += step.groups.size();
  }
  const auto admitted = of.admissions.size();
  const auto stale = of.retirements.size();
  if (book->trained != trained || book->admitted != admitted)
    return "the ledger says admitted " + text(book->admitted) + ", trained " + text(book->trained) +
           "; the records say " + text(admitted) + " and " + text(trained);
  if (trained + retired != consumed * rollouts(of))
    return "consumed groups have " + text(consumed * rollouts(of)) + " rollouts, but trained " +
           text(trained) + " + retired " + text(retired);
  const bool whole = of.ended && !of.end_reason;
  if (whole && consumed + stale != admitted)
    return "at the end of a run: admitted " + text(admitted) + " groups, expected consumed " +
           text(consumed) + " + retired as stale " + text(stale);
  return {};
}

finding once(const evidence& of) {
  std::set<std::string> seen;
  std::set<std::uint64_t> groups;
  for (const auto& step : counted_consumptions(of)) {
    for (auto g : step.groups)
      if (!groups.insert(g).second)
        return "group " + text(g) + " was consumed twice, again by step " + text(step.step);
    for (const auto& id : step.trained)
      if (!seen.insert(id).second) return id + " was trained on twice, again by step " + text(step.step);
    for (const auto& [id, reason] : step.retired)
      if (!seen.insert(id).second)
        return id + " was retired (" + reason + ") by step " + text(step.step) + " and had its end before";
  }
  return {};
}

finding steps(const evidence& of) {
  std::uint64_t next = 0;
  for (const auto& step : counted_consumptions(of)) {
    if (step.step != next)
      return "after " + text(next) + " steps, the books go on with step " + text(step.step);
    if (step.groups.size() != static_cast<std::size_t>(of.drawn.groups))
      return "step " + text(step.step) + " consumed " + text(step.groups.size()) + " groups, expected " +
             text(static_cast<std::uint64_t>(of.drawn.groups));
    ++next;
  }
  if (of.ended && !of.end_reason && next != static_cast<std::uint64_t>(of.drawn.steps))
    return text(next) + " steps are booked, expected " + text(static_cast<std::uint64_t>(of.drawn.steps));
  return {};
}

finding figures(const evidence& of) {
  if (!of.ended || of.end_reason) return {};
  std::multiset<std::int64_t> found;
  for (const auto& r : of.metrics)
    if (const auto body = json::parse(r.body)->get_object(); body.at("kind") == "step")
      found.insert(body.at("step").to_number<std::int64_t>());
  for (std::int64_t s = 1; s <= of.drawn.steps; ++s)
    if (found.count(s) != 1)
      return "step " + std::to_string(s) + " has " + text(found.count(s)) +
             " records of its figures, expected 1";
  return {};
}

finding staleness(const evidence& of) {
  const auto eta = static_cast<std::uint64_t>(of.drawn.eta);
  for (const auto& step : of.optimizer)
    for (const auto& s : step.samples)
      for (std::size_t i = 0; i < s.tokens.size(); ++i)
        if (s.mask[i] && s.versions[i] + eta < step.version)
          return s.id + " was trained on a token of version " + text(s.versions[i]) + " in step " +
                 text(step.version) + ", expected at least " + text(step.version - eta);
  for (const auto& r : of.metrics) {
    const auto body = json::parse(r.body)->get_object();
    if (body.at("kind") != "step") continue;
    if (body.at("staleness_max").to_number<std::uint64_t>() > eta)
      return "a step's figures say staleness_max " + json::dump(body.at("staleness_max")) +
             ", expected at most " + text(eta);
  }
  return {};
}

finding nothing_stale(const evidence& of) {
  for (const auto& r : of.retirements)
    if (json::parse(r.body)->get_object().at("reason") == "stale")
      return "a group was retired as stale, expected none: " + r.body;
  for (const auto& step : counted_consumptions(of))
    for (const auto& [id, reason] : step.retired)
      if (reason == "stale")
        return id + " was retired as stale in step " + text(step.step) + ", expected none";
  for (const auto& r : of.metrics)
    if (const auto body = json::parse(r.body)->get_object();
        body.at("kind") == "step" && body.at("tokens_beyond_eta").to_number<std::uint64_t>() > 0)
      return "the figures of step " + json::dump(body.at("step")) + " say that " +
             json::dump(body.at("tokens_beyond_eta")) + " tokens were older than eta, expected none";
  return {};
}

finding weights_as_booked(const evidence& of) {
  if (of.checkpoints.empty()) return {};
  float state = 0;
  for (const auto& step : counted_consumptions(of)) {
    if (step.trained.empty()) continue;
    auto same = [&](const optimizer_step& it) {
      return it.version == step.step && it.before == state &&
             std::equal(it.samples.begin(), it.samples.end(), step.trained.begin(), step.trained.end(),
                        [](const rl_sample& s, const std::string& id) { return s.id == id; });
    };
    auto found = std::find_if(of.optimizer.begin(), of.optimizer.end(), same);
    if (found == of.optimizer.end())
      return "no optimizer step of version " + text(step.step) + " trained on what the books say it consumed";
    state = found->after;
  }
  const auto& last = of.checkpoints.back();
  const bool whole = of.ended && !of.end_reason;
  if (whole && state_of(last.weights) != state)
    return "the last checkpoint's weights (version " + text(last.version) +
           ") are not those of the booked steps";
  return {};
}

std::optional<float> calm_weights(const drawn_world& workload) {
  static std::mutex guard;
  static std::map<std::string, std::optional<float>> known;
  std::scoped_lock lock(guard);
  const auto* bug = planted_bug().load();
  const auto [entry, fresh] = known.try_emplace(json::dump(workload.to_json()) + (bug ? *bug : ""));
  if (fresh)
    if (const auto calm = run_seed(workload, 0); calm.ended && !calm.end_reason && calm.failures.empty())
      entry->second = state_of(calm.checkpoints.back().weights);
  return entry->second;
}

finding weights_as_calm(const evidence& of) {
  // A rollout that was given up (killed three times in a row) is missing data: then the runs differ, as they should.
  if (of.drawn.eta != 0 || !of.ended || of.end_reason || !of.failures.empty()) return {};
  const auto calm = calm_weights(of.drawn.calm());
  if (!calm) return "the run without faults did not end as it should";
  if (const auto found = state_of(of.checkpoints.back().weights); found != *calm)
    return "the last weights have the hash " + text(static_cast<std::uint64_t>(found)) +
           ", those of the run without faults " + text(static_cast<std::uint64_t>(*calm));
  return {};
}

/// Of every turn of every judged rollout: the tokens that the policy writes at that place, each with the logprob of weights that its version
/// names, and none sampled with older weights than the token before it.
finding turns_as_written(const evidence& of) {
  std::map<std::uint64_t, std::set<float>> known;
  for (const auto& [version, state] : of.loaded) known[version].insert(logprob_of(state));
  const auto seed = of.run->seed_for("sampling");
  for (const auto& [stream, records] : of.rollouts) {
    const auto key = *parse_rollout_stream(stream);
    if (key.why != purpose::train) continue;
    const auto t = replayed(of, key);
    if (!t || !t->judged()) continue;
    const auto all = t->sample(1);
    for (std::size_t i = 0; i < all.tokens.size();) {
      if (!all.mask[i]) {
        ++i;
        continue;
      }
      const auto begin = i;
      const auto script = script_of(seed, key.number(), begin, of.drawn.calls);
      for (; i < all.tokens.size() && all.mask[i]; ++i) {
        const auto at = key.text() + ", token " + text(i - begin) + " of the turn at " + text(begin);
        if (i - begin >= script.size() || all.tokens[i] != script[i - begin])
          return at + " is not what the policy writes there";
        if (!known[all.versions[i]].contains(all.behaviour_logprobs[i]))
          return at + " has not the logprob of weights of version " + text(all.versions[i]);
        if (i > begin && all.versions[i] < all.versions[i - 1])
          return at + " is of version " + text(all.versions[i]) + ", the one before it of " +
                 text(all.versions[i - 1]);
      }
    }
  }
  return {};
}

/// Counted outside, where no crash undoes anything.
finding effects_once(const evidence& of) {
  if (of.drawn.tool_effects == "none") return {};
  for (const auto& [key, times] : of.effects)
    if (times != 1)
      return "the call " + key + " had its effect " + std::to_string(times) + " times, expected once";
  for (const auto& [stream, records] : of.rollouts)
    for (const auto& r : records) {
      if (r.kind != "tool") continue;
      const auto key = r.key.substr(r.key.find('/') + 1);
      if (json::parse(r.body)->get_object().at("failed").as_bool()) continue;
      if (!of.effects.contains(key)) return "the call " + key + " has a result and never had its effect";
    }
  return {};
}

std::vector<std::uint64_t> sampled(const std::vector<std::uint64_t>& all,
                                   const std::vector<std::uint8_t>& mask) {
  std::vector<std::uint64_t> out;
  for (std::size_t i = 0; i < all.size() && i < mask.size(); ++i)
    if (mask[i]) out.push_back(all[i]);
  return out;
}

/// From the records' text, without the code that a rollout reads them with.
std::vector<std::uint64_t> committed_versions(const evidence& of, const rollout_key& key) {
  std::vector<std::uint64_t> out;
  for (const auto& r : of.rollouts.at(stream_of(key))) {
    if (r.kind != "turn") continue;
    const auto body = json::parse(r.body)->get_object();
    for (const auto& v : body.at("versions").get_array()) out.push_back(v.to_number<std::uint64_t>());
  }
  return out;
}

/// What the learner was given is what the store has: tokens, logprobs, versions and the verdict's reward.
finding trained_as_sampled(const evidence& of) {
  for (const auto& step : of.optimizer)
    for (const auto& s : step.samples) {
      auto t = replayed(of, *parse_rollout_key(s.id));
      if (!t) return s.id + " was trained on, but: " + to_string(t.error());
      if (!t->judged()) return s.id + " was trained on without a durable verdict";
      auto durable = t->sample(of.run->config.rl.gamma);
      for (std::size_t i = 0; i < durable.mask.size();
           ++i) // too old, or of weights that were undone: left out
        if (durable.versions[i] + static_cast<std::uint64_t>(of.drawn.eta) < step.version ||
            durable.versions[i] > step.version)
          durable.mask[i] = 0;
      if (durable.tokens != s.tokens || durable.mask != s.mask)
        return s.id + " was trained on with other tokens than were committed";
      if (committed_versions(of, t->key()) != sampled(s.versions, t->sample(1).mask) ||
          durable.behaviour_logprobs != s.behaviour_logprobs)
        return s.id + " was trained on with other versions or logprobs than were committed";
      if (durable.reward != s.reward)
        return s.id + " was trained on with reward " + std::to_string(s.reward) + ", its verdict says " +
               std::to_string(durable.reward);
    }
  return {};
}

/// A failure is no reward: baselines are made of verdicts alone.
finding baselines(const evidence& of) {
  for (const auto& step : of.optimizer)
    for (const auto& s : step.samples) {
      const auto key = *parse_rollout_key(s.id);
      std::vector<double> rewards;
      std::size_t place = 0;
      for (std::uint32_t attempt = 0; attempt < static_cast<std::uint32_t>(of.drawn.group_size); ++attempt) {
        auto t = replayed(of, {purpose::train, key.group, attempt});
        if (!t || !t->judged()) continue;
        const auto& all = of.rollouts.at(stream_of(t->key()));
        if (std::any_of(all.begin(), all.end(), [](const record& r) { return r.kind == "failed"; })) continue;
        if (attempt == key.attempt) place = rewards.size();
        rewards.push_back(t->judged()->reward);
      }
      const auto expected = leave_one_out_baselines(rewards);
      if (!expected || (*expected)[place] != s.baseline)
        return s.id + " was trained on with baseline " + std::to_string(s.baseline) + "; the " +
               text(rewards.size()) + " verdicts of its group give " +
               (expected ? std::to_string((*expected)[place]) : std::string("none"));
    }
  return {};
}

finding balance_holds(const evidence& of) {
  for (const auto& sheet : of.sheets)
    if (!sheet.holds())
      return "the replay buffer answered a balance that does not hold: " + json::dump(to_json(sheet));
  return {};
}

finding admission(const evidence& of) {
  const auto eta = static_cast<std::uint64_t>(of.drawn.eta),
             groups = static_cast<std::uint64_t>(of.drawn.groups);
  std::uint64_t next = 0;
  for (const auto& r : of.admissions) {
    const auto body = json::parse(r.body)->get_object();
    const auto group = body.at("group").to_number<std::uint64_t>(),
               version = body.at("version").to_number<std::uint64_t>();
    if (group != next++) return "group " + text(group) + " was admitted, expected group " + text(next - 1);
    const auto ahead = std::min(eta + version + 1, static_cast<std::uint64_t>(of.drawn.steps));
    if (group >= ahead * groups + of.retirements.size())
      return "group " + text(group) + " was admitted at version " + text(version) + ", expected fewer than " +
             text(ahead * groups) + " groups by then";
  }
  return {};
}

finding known_weights(const evidence& of) {
  std::map<std::uint64_t, std::set<float>> made{{0, {0.0f}}};
  for (const auto& step : of.optimizer) made[step.version + 1].insert(step.after);
  for (const auto& r : of.consumptions) { // a step without a sample leaves the weights as they are
    const auto body = json::parse(r.body)->get_object();
    const auto step = body.at("step").to_number<std::uint64_t>();
    if (body.at("trained").get_array().empty()) made[step + 1].insert(made[step].begin(), made[step].end());
  }
  for (const auto& [version, state] : of.loaded)
    if (!made[version].contains(state))
      return "an engine sampled as version " + text(version) +
             " with weights that no step of that version made";
  return {};
}

/// The supervisor's promise SUP-3, counted anew from the times of its children's ends.
finding restart_window(const evidence& of) {
  constexpr auto period = std::chrono::seconds(10);
  std::deque<duration> recent;
  bool up = true;
  for (const auto& it : of.restarts) {
    if (it.kind == supervision_kind::restarted) continue;
    if (it.kind == supervision_kind::gave_up) {
      const auto intensity = static_cast<std::size_t>(of.drawn.intensity);
      if (recent.size() <= intensity)
        return "the supervisor gave up after " + text(recent.size()) +
               " ends within 10 s, expected it to bear " + text(intensity);
      up = false;
      break;
    }
    if (!recent.empty() && it.at < recent.back()) recent.clear();
    recent.push_back(it.at);
    while (it.at - recent.front() > period) recent.pop_front();
    if (recent.size() > static_cast<std::size_t>(of.drawn.intensity) + 1)
      return "the supervisor bore " + text(recent.size()) +
             " ends within 10 s, expected it to give up past " +
             text(static_cast<std::uint64_t>(of.drawn.intensity));
  }
  if (up != (of.ended && !of.end_reason)) return liveness(of);
  return {};
}

} // namespace

const std::vector<named_check>& all_checks() {
  static const std::vector<named_check> list = {
      {"liveness", "the run ends by itself, with all its steps", liveness},
      {"conservation", "admitted = trained + retired + open, in the durable records", conservation},
      {"once", "no rollout has two ends, no group is consumed twice", once},
      {"steps", "the books have every step once, in order, with a whole batch", steps},
      {"figures", "every step has its figures once", figures},
      {"staleness", "no token was older than eta when it was trained on", staleness},
      {"nothing_stale", "no group and no token is left out as too old", nothing_stale},
      {"weights_as_booked", "the last weights are those of the booked steps", weights_as_booked},
      {"weights_as_calm", "the last weights are bit for bit those of a run without faults (eta 0)",
       weights_as_calm},
      {"trained_as_sampled", "what is trained on is what was committed, with its verdict",
       trained_as_sampled},
      {"baselines", "a failure is never a reward: baselines are made of verdicts alone", baselines},
      {"balance", "the replay buffer's balance holds whenever it is asked", balance_holds},
      {"admission", "groups are admitted once, in order, within the staleness bound", admission},
      {"known_weights", "engines sample with the weights that their version names", known_weights},
      {"effects_once", "no tool call has its effect twice, and none has a result without it", effects_once},
      {"turns_as_written", "turns are token for token what the policy writes, whatever interrupted them",
       turns_as_written},
      {"fencing", "nothing is taken in from a fenced epoch or an old placement", fencing_holds},
      {"leases", "no node samples after it was fenced", leases_hold},
      {"losses_seen", "a node that is gone for 2 s is fenced within 1.5 s", losses_are_seen},
      {"restart_window", "the run's supervisor gives up past its intensity, and not before", restart_window},
  };
  return list;
}

const named_check* find_check(std::string_view name) {
  for (const auto& check : all_checks())
    if (check.name == name) return &check;
  return nullptr;
}

std::vector<std::string_view> check_names() {
  std::vector<std::string_view> out;
  for (const auto& check : all_checks()) out.push_back(check.name);
  return out;
}

} // namespace troupe::sim

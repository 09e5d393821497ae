#include "actors/cluster/cluster_actor.hpp"

#include "actors/ledger.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/planted.hpp"
#include "runtime/log.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr auto store_patience = std::chrono::seconds(60);
constexpr duration pause =
    std::chrono::milliseconds(20); ///< before a request is repeated that failed at once

new_record member_record(std::uint64_t epoch, const std::string& node) {
  return {"cluster", "member", "member/" + std::to_string(epoch),
          json::dump(json::object{{"epoch", epoch}, {"node", node}})};
}

new_record fence_record(std::uint64_t epoch) {
  return {"cluster", "fence", "fence/" + std::to_string(epoch), json::dump(json::object{{"epoch", epoch}})};
}

new_record placement_record(const rollout_key& key, std::uint64_t number, std::uint64_t epoch) {
  return {stream_of(key), "placement", "placement/" + key.text() + "/" + std::to_string(number),
          json::dump(json::object{{"number", number}, {"epoch", epoch}})};
}

[[noreturn]] void no_answer(const error& why) { give_up("keeping the cluster's books", why); }

} // namespace

cluster_actor::cluster_actor(self_ptr self, context_ptr ctx)
    : self_(self), ctx_(std::move(ctx)), members_(ctx_->cluster->timing.lease) {}

behavior cluster_actor::make_behavior() {
  ctx_->names->set(names::engine, actor_ref(self_));
  recover();
  return {
      [this](const join_cluster& who) { return join(who); },
      [this](const heartbeat& from) -> result<head_names> {
        if (!ready_) return to_caf({errc::unavailable, "the head is reading its books"});
        if (ending_.contains(from.epoch) || !members_.heard(from, ctx_->time->now()))
          return to_caf({errc::in_use, "epoch " + std::to_string(from.epoch) + " is over"});
        return names_now();
      },
      [this](const tick&) { look(); },
      [this](const run_rollout& wish) -> result<done> {
        auto& it = placements_[wish.job.key];
        it.job = wish.job;
        if (it.epoch == 0 && !it.committing)
          queue(wish.job.key);
        else if (it.epoch != 0)
          send_placement(wish.job.key);
        place_waiting();
        return done{};
      },
      [this](const stop_child& what) { return stop(what.id); },
      [this](const park_remote& what) {
        const auto it = placements_.find(what.key);
        if (it == placements_.end()) return;
        if (const auto* member = members_.find(it->second.epoch))
          tell(self_, member->agent,
               park_placed{{it->second.epoch, it->second.number}, what.key, what.soon, what.yield});
      },
      [this](const rollout_over& what) {
        if (const auto it = placements_.find(what.key); it != placements_.end()) {
          it->second.job.reset();
          if (!what.parked) it->second.epoch = 0;
        }
      },
      [this](const rollouts_died& news) -> result<done> {
        probe<"cluster: a node's rollouts died with their supervisor">();
        for (const auto& [key, it] : placements_)
          if (it.epoch == news.epoch) send_placement(key);
        return done{};
      },
      [this](const rollout_given_up& news) -> result<done> {
        const auto it = placements_.find(news.key);
        if (it == placements_.end() ||
            write_fence{it->second.epoch, it->second.number} != news.placed) // another one goes on with it
          return done{};
        it->second.job.reset();
        it->second.epoch = 0;
        probe<"cluster: a node gives a rollout up">();
        tell(self_, ctx_->names->find(news.key.why == purpose::train ? names::replay : names::evaluator),
             rollout_failed{news.key, news.why});
        tell(self_, ctx_->names->find(names::manager), rollout_ended{news.key});
        return done{};
      },
      [this](const new_weights& what) { return publish(what); },
      [this](const engine_status_request&) {
        engine_status sum;
        for (const auto& [epoch, it] : members_.all()) {
          sum.core.decoded_tokens += it.engine.core.decoded_tokens;
          sum.busy_seconds += it.engine.busy_seconds;
          sum.alive_seconds += it.engine.alive_seconds;
        }
        return sum;
      },
      [this](const cluster_status_request&) {
        cluster_status out{{}, newest_epoch_, lost_, placed_, moved_};
        for (const auto& [epoch, it] : members_.all()) out.nodes.push_back(it.node);
        return out;
      },
      resume_handler(),
  };
}

// -- start -----------------------------------------------------------------------------------------------------------------------

void cluster_actor::recover() { read(0); }

void cluster_actor::read(std::size_t kind) {
  static constexpr std::array kinds = {"fence", "member", "placement"};
  if (kind == kinds.size()) return fold();
  ask_named(
      self_, ctx_, names::store, store_patience, read_kind{kinds[kind], 0},
      [this, kind](const std::vector<record>& found) {
        books_[kind] = found;
        read(kind + 1);
      },
      no_answer);
}

void cluster_actor::fold() {
  auto body_of = [](const record& r) {
    auto body = json::parse(r.body);
    if (!body || !body->is_object()) give_up("reading " + r.key, {errc::corrupt, "not a JSON object"});
    return std::move(body->get_object());
  };
  auto number = [](const json::object& body, std::string_view key) {
    auto n = json::int_at(body, key);
    if (!n) give_up("reading the cluster's books", n.error());
    return static_cast<std::uint64_t>(*n);
  };
  for (const auto& r : books_[0]) fenced_.insert(number(body_of(r), "epoch"));
  for (const auto& r : books_[1]) {
    const auto body = body_of(r);
    const auto epoch = number(body, "epoch");
    newest_epoch_ = std::max(newest_epoch_, epoch);
    auto node = json::string_at(body, "node");
    if (!node) give_up("reading " + r.key, node.error());
    if (!fenced_.contains(epoch) && !node->empty()) members_.adopt(*node, epoch, ctx_->time->now());
  }
  for (const auto& r : books_[2]) {
    const auto key = parse_rollout_stream(r.stream);
    if (!key) give_up("reading " + r.key, {errc::corrupt, "its stream is no rollout's"});
    const auto body = body_of(r);
    auto& it = placements_[*key];
    if (const auto n = number(body, "number"); n > it.number) {
      it.number = n;
      it.epoch = number(body, "epoch");
      if (!members_.find(it.epoch)) it.epoch = 0;
    }
  }
  for (auto& list : books_) list.clear();
  begin_term();
}

/// The head's own number, from the same sequence: what it publishes is newer than what any earlier life did.
void cluster_actor::begin_term() {
  term_ = ++newest_epoch_;
  ask_named(
      self_, ctx_, names::store, store_patience, append_records{{member_record(term_, "")}},
      [this](const std::vector<append_outcome>&) {
        ready_ = true;
        publication_ = term_ << 24;
        looked_ = ctx_->time->now();
        look();
        for (const auto& [epoch, member] : members_.all()) push_weights(epoch);
        place_waiting();
        for (const auto& name : {names::manager, names::evaluator})
          tell(self_, ctx_->names->find(name), rollouts_lost{});
      },
      no_answer);
}

// -- members ---------------------------------------------------------------------------------------------------------------------

head_names cluster_actor::names_now() const {
  head_names out;
  for (const auto& name :
       {names::store, names::replay, names::manager, names::evaluator, names::recorder, names::cluster})
    if (auto who = ctx_->names->find(name)) out.emplace(name, std::move(who));
  return out;
}

result<joined> cluster_actor::join(const join_cluster& who) {
  if (!ready_ || joining_.contains(who.node)) return to_caf({errc::unavailable, "the head is not ready"});
  if (const auto* known = members_.joined_again(who, ctx_->time->now());
      known && !ending_.contains(known->epoch)) {
    probe<"cluster: a join is repeated">();
    return joined{known->epoch, names_now()};
  }
  if (members_.overtaken(who)) {
    probe<"cluster: a join comes late">();
    return to_caf({errc::in_use, "a later one has joined"});
  }
  reply<joined> answer(self_);
  auto promise = answer.promise();
  const auto epoch = ++newest_epoch_;
  append_records books{{member_record(epoch, who.node)}};
  const auto older = members_.epochs_of(who.node);
  for (auto old : older) {
    ending_.insert(old);
    if (!planted("fence_missing")) books.records.push_back(fence_record(old)); // CLU-1
  }
  joining_.insert(who.node);
  ask_named(
      self_, ctx_, names::store, store_patience, std::move(books),
      [this, who, epoch, older,
       answer = std::make_shared<reply<joined>>(std::move(answer))](const std::vector<append_outcome>&) {
        joining_.erase(who.node);
        for (auto old : older) lost(old);
        members_.add(who, epoch, ctx_->time->now());
        log_event("node_joined", {{"node", who.node}, {"epoch", epoch}});
        answer->deliver(joined{epoch, names_now()});
        push_weights(epoch);
      },
      no_answer);
  return promise;
}

void cluster_actor::look() {
  const auto& timing = ctx_->cluster->timing;
  const auto now = ctx_->time->now(), due = looked_ + timing.heartbeat;
  if (now > due + timing.heartbeat) { // CLU-4
    probe<"cluster: the head did not run for a while">();
    members_.extend(now - due);
  }
  looked_ = now;
  send_later(self_, timing.heartbeat, tick{});
  if (planted("lease_leaked")) return;
  declare_lost(members_.expired(now));
}

void cluster_actor::declare_lost(const std::vector<std::uint64_t>& epochs) {
  append_records books;
  std::vector<std::uint64_t> ending;
  for (auto epoch : epochs) {
    if (!ending_.insert(epoch).second) continue;
    ending.push_back(epoch);
    if (!planted("fence_missing")) books.records.push_back(fence_record(epoch));
    log_event("node_lost", {{"node", members_.find(epoch)->node}, {"epoch", epoch}}, log_level::warning);
  }
  if (ending.empty()) return;
  ask_named(
      self_, ctx_, names::store, store_patience, std::move(books),
      [this, ending](const std::vector<append_outcome>&) {
        for (auto epoch : ending) lost(epoch);
      },
      no_answer);
}

/// Its fence is durable: nothing that it does counts any more.
void cluster_actor::lost(std::uint64_t epoch) {
  if (!members_.find(epoch)) return;
  ++lost_;
  members_.remove(epoch);
  ending_.erase(epoch);
  for (auto& [key, it] : placements_) {
    if (it.epoch != epoch || it.committing) continue;
    it.epoch = 0;
    if (!it.job) continue;
    ++moved_;
    probe<"cluster: a rollout moves to another node">();
    if (!planted("lost_rollouts_stay")) queue(key);
  }
  for (const auto& waiting : std::exchange(stops_[epoch], {})) waiting->deliver(done{});
  stops_.erase(epoch);
  acknowledged(epoch, 0);
  place_waiting();
}

// -- placements ------------------------------------------------------------------------------------------------------------------

void cluster_actor::queue(const rollout_key& key) {
  if (!std::exchange(placements_[key].queued, true)) waiting_.push_back(key);
}

void cluster_actor::place_waiting() {
  if (!ready_ || waiting_.empty()) return;
  std::map<std::uint64_t, std::size_t> load; // of the members that may get some
  for (const auto& [epoch, it] : members_.all())
    if (it.weights != 0 && !ending_.contains(epoch)) load[epoch] = 0; // CLU-3
  if (load.empty()) return;
  for (const auto& [key, it] : placements_)
    if (auto found = load.find(it.epoch); found != load.end()) ++found->second;
  append_records books;
  std::vector<rollout_key> placed;
  for (const auto& key : std::exchange(waiting_, {})) {
    auto& it = placements_[key];
    it.queued = false;
    if (!it.job || it.epoch != 0) continue;
    auto least = std::min_element(load.begin(), load.end(),
                                  [](const auto& a, const auto& b) { return a.second < b.second; });
    ++least->second;
    ++it.number;
    it.epoch = least->first;
    it.committing = true;
    if (!planted("placement_unrecorded")) books.records.push_back(placement_record(key, it.number, it.epoch));
    placed.push_back(key);
  }
  if (placed.empty()) return;
  ask_named(
      self_, ctx_, names::store, store_patience, std::move(books),
      [this, placed](const std::vector<append_outcome>&) {
        if (buggify<"cluster: dies behind a placement">()) give_up("buggify", {errc::internal, "on purpose"});
        for (const auto& key : placed) {
          auto& it = placements_[key];
          it.committing = false;
          ++placed_;
          if (!members_.find(it.epoch)) { // it was lost meanwhile, or the rollout was stopped
            it.epoch = 0;
            if (it.job) queue(key);
          } else {
            send_placement(key);
          }
        }
        place_waiting();
      },
      no_answer);
}

void cluster_actor::send_placement(const rollout_key& key) {
  const auto& it = placements_.at(key);
  if (it.committing || !it.job) return;
  place_rollout message{*it.job};
  message.job.placed = {it.epoch, it.number};
  insist(
      it.epoch, std::move(message),
      [this, key, number = it.number] {
        const auto& now = placements_.at(key);
        return now.number == number && now.epoch != 0 && now.job;
      },
      [] {});
}

result<done> cluster_actor::stop(const std::string& id) {
  reply<done> answer(self_);
  auto promise = answer.promise();
  const auto key = parse_rollout_stream(id);
  const auto found = key ? placements_.find(*key) : placements_.end();
  if (!ready_) {
    answer.fail({errc::unavailable, "the head is reading its books"});
  } else if (found == placements_.end() || (found->second.epoch == 0 && !found->second.job)) {
    answer.fail({errc::not_found, "no node runs " + id});
  } else {
    const write_fence was{std::exchange(found->second.epoch, 0), found->second.number};
    found->second.job.reset();
    if (!members_.find(was.epoch)) { // fenced: whatever still runs there changes nothing
      answer.deliver(done{});
      return promise;
    }
    auto shared = std::make_shared<reply<done>>(std::move(answer));
    auto stopped = [shared] { shared->deliver(done{}); };
    stops_[was.epoch].push_back(shared);
    insist(
        was.epoch, stop_placed{was, *key}, [] { return true; }, stopped);
  }
  return promise;
}

// -- weights ---------------------------------------------------------------------------------------------------------------------

result<done> cluster_actor::publish(const new_weights&) { // they are on the board already
  reply<done> answer(self_);
  auto promise = answer.promise();
  if (!ready_) {
    answer.fail({errc::unavailable, "the head is reading its books"});
    return promise;
  }
  ++publication_;
  open_publication it;
  if (publishing_) it.askers = std::move(publishing_->askers);
  it.askers.push_back(std::move(answer));
  for (const auto& [epoch, member] : members_.all()) it.missing.insert(epoch);
  publishing_ = std::move(it);
  for (auto epoch : std::set<std::uint64_t>(publishing_->missing)) push_weights(epoch);
  acknowledged(0, publication_);
  return promise;
}

void cluster_actor::push_weights(std::uint64_t epoch) {
  const auto board = ctx_->board->current();
  if (!board.weights) return; // the first publication comes
  const auto number = publication_;
  insist(
      epoch, publish_weights{epoch, number, board.weights, board.version, board.lineage, board.checksum},
      [this, number, epoch] {
        const auto* it = members_.find(epoch);
        return it && number == publication_ && it->weights < number;
      },
      [this, epoch, number] { acknowledged(epoch, number); });
}

void cluster_actor::acknowledged(std::uint64_t epoch, std::uint64_t number) {
  if (auto* it = members_.find(epoch)) it->weights = std::max(it->weights, number);
  if (publishing_ && (number == publication_ || number == 0)) {
    publishing_->missing.erase(epoch);
    if (publishing_->missing.empty()) {
      auto finished = std::exchange(publishing_, std::nullopt);
      for (auto& asker : finished->askers) asker.deliver(done{});
    }
  }
  place_waiting();
}

template <class Message>
void cluster_actor::insist(std::uint64_t epoch, Message message, std::function<bool()> wanted,
                           std::function<void()> ok, int tries) {
  const auto* member = members_.find(epoch);
  if (!member || !wanted()) return;
  auto again = [this, epoch, message, wanted, ok, tries] { insist(epoch, message, wanted, ok, tries + 1); };
  if (!member->agent) return send_later(self_, pause, resume_later{again});
  ask(
      self_, member->agent, ctx_->cluster->timing.patience(tries), message, [ok](const done&) { ok(); },
      [this, again](const error& why) {
        if (planted("not_repeated")) return;
        if (why.code == errc::timeout) return again();
        send_later(self_, pause, resume_later{again});
      });
}

} // namespace troupe

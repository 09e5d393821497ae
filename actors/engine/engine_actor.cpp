#include "actors/engine/engine_actor.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "runtime/base/planted.hpp"
#include "runtime/log.hpp"

#include <algorithm>
#include <map>

namespace troupe {

namespace {
constexpr auto store_patience = std::chrono::seconds(60);
constexpr std::uint64_t first_look = 4096; ///< records of any kind, back from the newest
} // namespace

engine_actor::engine_actor(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {
  ctx_->threads.name_own("engine");
  auto core = ctx_->parts.make_engine();
  if (!core) give_up("starting the engine", core.error());
  core_ = std::move(*core);
  started_ = ctx_->time->now();
  const auto published = ctx_->board->current();
  lineage_ = published.lineage;
  if (published.weights && check(published.weights, published))
    take_weights(published.weights, published.version, published.lineage);
}

expected<void> engine_actor::check(const weights_ptr& weights, const weight_board::entry& published) {
  const auto received = weights_under_faults(*ctx_, weights);
  if (published.checksum.empty() || weights_checksum(*received) == published.checksum) {
    if (std::exchange(damaged_, false)) note_effect(*ctx_, fault_effect::kind::recovered, names::engine);
    return {};
  }
  log_event("weights_damaged", {{"version", published.version}}, log_level::warning);
  note_effect(*ctx_, fault_effect::kind::detected, names::engine);
  damaged_ = true;
  return fail(errc::corrupt, "the weights of version " + std::to_string(published.version) +
                                 " are not those that were published: their checksum differs");
}

behavior engine_actor::make_behavior() {
  if (damaged_) tell_surely(self_, ctx_, names::learner, weights_damaged{ctx_->board->current().version});
  if (journaling())
    ask_named(
        self_, ctx_, names::store, store_patience, read_position{},
        [this](const store_position& newest) { read_journal(newest.seq, first_look); },
        [this](const error& why) { journal_unreadable(why); });
  else
    journal_read_ = true;
  return {
      [this](const generate& ask) -> result<generated> {
        reply<generated> answer(self_);
        auto promise = answer.promise();
        if (!may_sample())
          answer.fail({errc::unavailable, "this node's lease has run out"});
        else if (!has_weights_)
          answer.fail({errc::unavailable, "the engine has no weights yet"});
        else if (ask.request.stream && !ask.listener && !journal_read_)
          early_.emplace_back(ask, std::move(answer));
        else
          take(ask, std::move(answer));
        return promise;
      },
      [this](const new_weights& update) -> result<done> {
        if (const auto published = ctx_->board->current(); published.weights && !update.policy) {
          if (update.version != published.version || update.lineage != published.lineage) // ENGA-7
            return to_caf(
                {errc::conflict, "version " + std::to_string(update.version) + " is not published any more"});
          if (auto sound = check(update.weights, published); !sound) return to_caf(sound.error()); // ENGA-8
        }
        take_weights(update.weights, update.version, update.lineage, update.policy);
        return done{};
      },
      [this](const cancel_generation& gone) { cancel(gone.sequence); },
      [this](const cancel_listened&) {
        std::vector<std::uint64_t> theirs;
        for (const auto& [sequence, turn] : open_)
          if (turn.listener) theirs.push_back(sequence);
        for (auto sequence : theirs) cancel(sequence); // in whatever order: none of them is heard
      },
      [this](const pause_engine& order) -> result<done> {
        paused_ = order.paused;
        if (!paused_) schedule();
        return done{};
      },
      [this](const forget_sequence& gone) {
        core_->forget(gone.sequence); // after the turn that it samples
        const auto open = open_.find(gone.sequence);
        if (open == open_.end()) return journal_.forget(gone.sequence);
        probe<"engine: a turn of a later life is open when an earlier one is forgotten">(); // ENGA-6
        open->second.forget = true;
      },
      [this](const engine_step&) { step(); },
      [this](const write_tokens&) { write_journal(); },
      [this](const engine_status_request&) {
        return engine_status{core_->stats(),   seconds(busy_), seconds(ctx_->time->now() - started_),
                             journal_records_, journal_bytes_, journal_kept_};
      },
      resume_handler(),
  };
}

void engine_actor::take(generate ask, reply<generated> answer) {
  auto& request = ask.request;
  const auto sequence = request.sequence;
  const bool journaled = request.stream && !ask.listener && journaling();
  const auto* known = journaled ? journal_.find(request) : nullptr;
  if (known && known->versions.front() < ask.oldest) { // sampled for a dead asker after the weights went back
    probe<"engine: what is known of a turn is too old for its rollout">();
    journal_.forget(sequence);
    known = nullptr;
  }
  if (auto open = open_.find(sequence); open != open_.end()) { // ENGA-3
    if (known) {
      probe<"engine: a turn goes on for a new life of its rollout">();
      open->second.answer = std::move(answer);
      return;
    }
    if (ctx_->repeat_after && !ask.listener && open->second.context == request.context.size() &&
        open->second.oldest == ask.oldest) { // asked once more: the answer may be lost
      open->second.answer = std::move(answer);
      return;
    }
    core_->cancel(sequence);
    open_.erase(open);
  }
  open_turn turn{std::move(answer), known ? known->tokens.size() : 0, journaled,
                 ask.listener,      request.context.size(),           ask.oldest};
  if (!known && ctx_->redone && ctx_->redone->begin_turn(sequence, request.context.size()))
    note_effect(*ctx_, fault_effect::kind::turn_redone, stream_of(rollout_key::of_number(sequence)));
  if (journaled) journal_.begin(request);
  if (known) {
    probe<"engine: a turn goes on after what the journal knows of it">();
    journal_kept_ += turn.known;
    const bool stopped =
        std::find(request.stop.begin(), request.stop.end(), known->tokens.back()) != request.stop.end();
    if (stopped || static_cast<int>(turn.known) >= request.max_new_tokens) {
      generated whole{.sequence = sequence};
      whole.reason = stopped ? finish_reason::stop : finish_reason::length;
      open_.emplace(sequence, std::move(turn));
      return deliver(std::move(whole));
    }
    request.context.insert(request.context.end(), known->tokens.begin(), known->tokens.end());
    request.max_new_tokens -= static_cast<int>(turn.known);
    request.min_new_tokens = std::max(0, request.min_new_tokens - static_cast<int>(turn.known));
  }
  if (auto ok = core_->submit(std::move(request)); !ok) return turn.answer.fail(ok.error());
  open_.emplace(sequence, std::move(turn));
  schedule();
}

void engine_actor::take_weights(const weights_ptr& weights, std::uint64_t version, std::uint64_t lineage,
                                std::optional<kv_policy> policy) {
  if (lineage > lineage_) { // ENGA-1
    lineage_ = lineage;
    if (!journal_read_) went_back_.push_back(version);
    for (auto sequence : journal_.roll_back(version)) {
      probe<"engine: tokens of undone weights are dropped">();
      auto open = open_.find(sequence);
      if (open == open_.end()) continue;
      core_->cancel(sequence);
      open->second.answer.fail({errc::unavailable, "the weights went back to an older version"});
      open_.erase(open);
    }
  }
  if (has_weights_ && version == version_) return;
  const auto usual = ctx_->config.rl.kv_on_update == "keep" ? kv_policy::keep : kv_policy::recompute;
  core_->set_weights(weights, version, policy.value_or(usual));
  version_ = version;
  has_weights_ = true;
}

void engine_actor::cancel(std::uint64_t sequence) {
  core_->cancel(sequence);
  const auto found = open_.find(sequence);
  if (found == open_.end()) return;
  found->second.answer.fail({errc::cancelled, "the turn was cancelled"});
  open_.erase(found);
}

void engine_actor::schedule() {
  if (std::exchange(scheduled_, true)) return;
  if (ctx_->parts.engine_step_time > duration(0))
    return send_later(self_, ctx_->parts.engine_step_time, engine_step{});
  self_->send(self_, engine_step{}); // behind what is waiting in the mailbox: new requests join this step
}

void engine_actor::step() {
  scheduled_ = false;
  if (paused_) return;
  if (!may_sample()) return stop_sampling();
  finished_.clear();
  news_.clear();
  const auto start = ctx_->time->now();
  const bool more = core_->step(finished_, &news_);
  busy_ += ctx_->time->now() - start;
  spread_news();
  for (auto& turn : finished_) deliver(std::move(turn));
  if (journaling() && journal_.has_unwritten()) schedule_journal();
  if (more) schedule();
}

/// To the journal, or to who listens: one message to each listener.
void engine_actor::spread_news() {
  std::vector<std::pair<actor_ref, tokens_sampled>> letters; // most often there is but one
  for (auto& news : news_) {
    const auto open = open_.find(news.sequence);
    if (open == open_.end()) continue;
    if (open->second.journaled) journal_.add(news, open->second.known);
    const auto& whom = open->second.listener;
    if (!whom) continue;
    auto letter =
        std::find_if(letters.begin(), letters.end(), [&](const auto& l) { return l.first == whom; });
    if (letter == letters.end()) letter = letters.insert(letters.end(), {whom, {}});
    letter->second.news.push_back(std::move(news));
  }
  for (auto& [whom, letter] : letters) tell(self_, whom, std::move(letter));
}

void engine_actor::deliver(generated turn) {
  auto found = open_.find(turn.sequence);
  if (found == open_.end()) return; // cancelled meanwhile
  if (turn.reason == finish_reason::aborted || turn.reason == finish_reason::failed) {
    found->second.answer.fail(turn.reason == finish_reason::aborted
                                  ? error{errc::unavailable, "the engine ended the turn for new weights"}
                                  : error{errc::internal, "the policy's logits are no numbers"});
    open_.erase(found);
    return;
  }
  if (found->second.known > 0) {
    const auto& known = *journal_.of(turn.sequence);
    auto put_before = [n = found->second.known](auto& onto, const auto& from) {
      for (int times = planted("journal_counted_twice") ? 2 : 1; times > 0; --times)
        onto.insert(onto.begin(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(n));
    };
    put_before(turn.tokens, known.tokens);
    put_before(turn.logprobs, known.logprobs);
    put_before(turn.versions, known.versions);
  }
  const auto sequence = turn.sequence;
  if (found->second.journaled) journal_.told(sequence);
  found->second.answer.deliver(std::move(turn));
  if (found->second.forget) journal_.forget(sequence);
  open_.erase(found);
}

// -- the journal -----------------------------------------------------------------------------------------------------------------

void engine_actor::read_journal(std::uint64_t newest, std::uint64_t back) {
  const auto after = newest > back ? newest - back : 0;
  ask_named(
      self_, ctx_, names::store, store_patience, read_kind{token_journal::kind, after},
      [this, newest, back, after](const std::vector<record>& records) {
        if (records.empty()) return after > 0 ? read_journal(newest, back * 8) : take_in({});
        const auto from = token_journal::needed_from(records);
        if (!from) give_up("reading the journal of tokens", from.error());
        if (*from > after) return take_in(records);
        ask_named(
            self_, ctx_, names::store, store_patience, read_kind{token_journal::kind, *from - 1},
            [this](const std::vector<record>& all) { take_in(all); },
            [this](const error& why) { journal_unreadable(why); });
      },
      [this](const error& why) { journal_unreadable(why); });
}

void engine_actor::take_in(std::vector<record> records) {
  ask_named(
      self_, ctx_, names::store, store_patience, read_kind{"rollback", 0},
      [this, records = std::move(records)](const std::vector<record>& rollbacks) {
        auto undone = token_journal::undone_by(rollbacks);
        if (!undone) give_up("reading the rollbacks", undone.error());
        if (auto ok = journal_.read(records, *undone); !ok)
          give_up("reading the journal of tokens", ok.error());
        for (auto version : went_back_) journal_.roll_back(version);
        journal_ready();
      },
      [this](const error& why) { journal_unreadable(why); });
}

void engine_actor::journal_unreadable(const error& why) {
  if (why.code != errc::timeout) give_up("reading the journal of tokens", why);
  journal_ready(); // no store: turns begin anew
}

void engine_actor::journal_ready() {
  journal_read_ = true;
  for (auto& [ask, answer] : std::exchange(early_, {})) take(std::move(ask), std::move(answer));
}

void engine_actor::schedule_journal() {
  if (std::exchange(journal_due_, true)) return;
  if (buggify<"engine: its journal is written at once">()) {
    self_->send(self_, write_tokens{});
    return;
  }
  send_later(self_, from_seconds(ctx_->config.rollout.journal_interval), write_tokens{});
}

void engine_actor::write_journal() {
  journal_due_ = false;
  if (journal_busy_) return; // the answer comes back here
  auto record = journal_.unwritten(lineage_);
  if (!record) return;
  journal_busy_ = true;
  const auto bytes = record->body.size();
  ask_named(
      self_, ctx_, names::store, store_patience, append_records{{std::move(*record)}},
      [this, bytes](const std::vector<append_outcome>& at) {
        journal_busy_ = false;
        ++journal_records_;
        journal_bytes_ += bytes;
        journal_.written(at.at(0).seq);
        if (journal_.has_unwritten()) schedule_journal();
      },
      [this](const error& why) { // no store, no journal: turns go on, and are kept when they are complete
        journal_busy_ = false;
        journal_.refused(why.code == errc::conflict);
        if (journal_.has_unwritten()) schedule_journal();
      });
}

bool engine_actor::may_sample() const { return !ctx_->cluster || ctx_->cluster->may_sample(*ctx_->time); }

void engine_actor::stop_sampling() { // ENGA-5; whoever asked asks again, if there is still somebody
  probe<"engine: stops because its node's lease has run out">();
  std::map<std::uint64_t, open_turn> ordered;
  for (auto& [sequence, turn] : open_) ordered.emplace(sequence, std::move(turn));
  open_.clear();
  for (auto& [sequence, turn] : ordered) {
    core_->cancel(sequence);
    turn.answer.fail({errc::unavailable, "this node's lease has run out"});
  }
}

} // namespace troupe

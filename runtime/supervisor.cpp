#include "runtime/supervisor.hpp"

#include "runtime/supervisor_actor.hpp"
#include <algorithm>

namespace troupe {

namespace {

/// After a kill: a handler that is still running ends within this, or its actor is given up at a stop of all.
constexpr duration kill_grace = std::chrono::seconds(1);

bool is_normal(const caf::error& reason) {
  return !reason || reason == caf::exit_reason::normal || reason == caf::exit_reason::user_shutdown;
}

error reason_of(const caf::error& reason) {
  if (is_normal(reason)) return {errc::internal, "normal"};
  if (reason == caf::exit_reason::kill) return {errc::cancelled, "killed"};
  return from_caf(reason);
}

} // namespace

supervisor_actor::supervisor_actor(self_ptr self, supervisor_options options,
                                   std::vector<child_spec> children)
    : self_(self),
      options_(std::move(options)),
      first_(std::move(children)),
      window_(options_.intensity, options_.period),
      random_(options_.seed) {}

supervisor_actor::~supervisor_actor() {
  for (auto it = children_.rbegin(); it != children_.rend(); ++it) {
    unname(it->second);
    kill(it->second.who);
  }
}

behavior supervisor_actor::make_behavior() {
  self_->set_down_handler([this](caf::down_msg& down) { ended(down); });
  self_->set_exit_handler([this](caf::exit_msg&) { stop_everything({}); });
  for (auto& spec : first_) {
    if (by_id_.contains(spec.id)) {
      stop_everything({errc::invalid, "two children are called \"" + spec.id + "\""});
      break;
    }
    child& it = add(std::move(spec));
    if (start(it, supervision_kind::started)) continue;
    stop_everything({errc::unavailable,
                     "child \"" + it.spec.id + "\" did not start: " + it.last_reason().message}); // SUP-1
    break;
  }
  first_.clear();
  return {
      [this](start_child& m) {
        reply<actor_ref> answer(self_);
        auto promise = answer.promise();
        start_dynamic(std::move(m.spec), std::move(answer));
        return promise;
      },
      [this](const stop_child& m) {
        reply<done> answer(self_);
        auto promise = answer.promise();
        stop_dynamic(m.id, std::move(answer));
        return promise;
      },
      [this](const child_progressed& news) {
        if (auto* it = find(news.id)) {
          it->failures = 0;
          if (it->known) it->known->recent.clear();
        }
      },
      [this](list_children) {
        std::vector<child_status> out;
        for (auto& [serial, it] : children_) {
          const char* state = it.state == child_state::running                       ? "running"
                              : it.state == child_state::quarantined                 ? "quarantined"
                              : it.state == child_state::stopping && it.restart == 0 ? "stopping"
                                                                                     : "restarting";
          out.push_back({it.spec.id, state, it.restarts, it.last_reason().message});
        }
        return out;
      },
      [this](const release_quarantine& m) -> result<done> {
        child* it = find(m.id);
        if (!it || it->state != child_state::quarantined)
          return to_caf({errc::not_found, "no child \"" + m.id + "\" is quarantined"});
        it->failures = 0;
        if (!start(*it, supervision_kind::restarted)) act_on_end(*it, false, true);
        return done{};
      },
      [this](stop_all) {
        stop_replies_.emplace_back(self_);
        auto promise = stop_replies_.back().promise();
        stop_everything({});
        return promise;
      },
      [this](const supervisor_tick& what) { tick(what); },
  };
}

// -- the life of a child
// -----------------------------------------------------------------------------------------------

supervisor_actor::child& supervisor_actor::add(child_spec spec) {
  const auto serial = next_++;
  child& it = children_[serial];
  it.serial = serial;
  it.spec = std::move(spec);
  by_id_[it.spec.id] = &it;
  return it;
}

bool supervisor_actor::start(child& it, supervision_kind kind) {
  if (options_.crash_loop.lives > 0 && it.spec.quarantine_after == 0)
    futile_[it.serial].begin(now(), work_of(it));
  std::string why = "start returned no actor";
  try {
    it.who = it.spec.start(self_);
  } catch (const std::exception& e) {
    why = e.what();
  } catch (...) {
    why = "an exception of unknown type";
  }
  if (!it.who) {
    it.state = child_state::down;
    it.past().last_reason = {errc::unavailable, why};
    observe(supervision_kind::ended, &it, it.last_reason());
    return false;
  }
  it.state = child_state::running;
  by_address_[it.who.address()] = it.serial;
  self_->monitor<caf::message_priority::high>(it.who); // an end overtakes queued requests
  if (options_.names) options_.names->set(it.spec.id, it.who);
  if (kind == supervision_kind::restarted) ++it.restarts;
  observe(kind, &it, it.last_reason());
  return true;
}

void supervisor_actor::begin_stop(child& it) {
  it.state = child_state::stopping;
  const auto life = ++it.past().life;
  request_stop(it.who);
  send_later(self_, it.spec.stop_deadline, supervisor_tick{supervisor_tick::what::deadline, it.serial, life});
}

void supervisor_actor::forget(child& it) {
  unname(it);
  if (auto found = restarts_.find(it.restart); found != restarts_.end()) {
    found->second.members.erase(it.serial);
    if (found->second.members.empty()) restarts_.erase(found);
  }
  if (it.known)
    for (auto& answer : it.known->stop_replies) answer.deliver({});
  futile_.erase(it.serial);
  by_id_.erase(it.spec.id);
  children_.erase(it.serial);
}

void supervisor_actor::ended(caf::down_msg& down) {
  auto found = by_address_.find(down.source);
  if (found == by_address_.end()) return; // SUP-6: this life's end was acted on
  child& it = *find(found->second);
  by_address_.erase(found);
  unname(it);
  it.who = nullptr;
  it.past().last_reason = reason_of(down.reason);
  const bool asked = it.state == child_state::stopping;
  it.state = child_state::down;
  observe(asked ? supervision_kind::stopped : supervision_kind::ended, &it, it.last_reason());
  const auto ticket = it.restart;
  if (stopping_) {
    forget(it);
    stop_next();
  } else if (it.forget) {
    forget(it);
    if (ticket) advance(ticket);
  } else if (ticket) { // it goes down and comes up with the others
    advance(ticket);
  } else {
    act_on_end(it, is_normal(down.reason), false);
  }
  if (restarts_.empty()) start_waiting();
}

void supervisor_actor::act_on_end(child& it, bool normal, bool by_message) {
  if (normal)
    it.failures = 0;
  else if (it.spec.quarantine_after > 0 && ++it.failures >= it.spec.quarantine_after) {
    it.state = child_state::quarantined;
    observe(supervision_kind::quarantined, &it, it.last_reason());
    return;
  }
  if (it.spec.restart == restart_kind::temporary || (it.spec.restart == restart_kind::transient && normal)) {
    forget(it);
    return;
  }
  const bool counts = normal || it.spec.quarantine_after == 0;
  if (counts && !window_.admit(now())) // SUP-3
    return give_up(it, "more than " + std::to_string(options_.intensity) + " restarts within " +
                           std::to_string(seconds(options_.period)) + " s; the last was of \"" + it.spec.id +
                           "\"");
  if (crash_loops(it)) // SUP-7
    return give_up(it, "\"" + it.spec.id + "\" came up again and again and never got on with its work");
  begin_restart(it, by_message);
}

bool supervisor_actor::crash_loops(const child& it) {
  if (options_.crash_loop.lives == 0 || it.spec.quarantine_after > 0) return false;
  return futile_[it.serial].end(now(), work_of(it), options_.crash_loop);
}

std::optional<std::uint64_t> supervisor_actor::work_of(const child& it) const {
  return options_.crash_loop.work ? options_.crash_loop.work(it.spec.id) : std::nullopt;
}

void supervisor_actor::give_up(const child& it, const std::string& why) {
  observe(supervision_kind::gave_up, &it, it.last_reason());
  stop_everything({errc::exhausted, options_.name + " gave up: " + why + ": " + it.last_reason().message});
}

// -- restarts
// ----------------------------------------------------------------------------------------------------------

void supervisor_actor::begin_restart(child& cause, bool by_message) {
  const auto time = now();
  auto& recent = cause.past().recent;
  std::erase_if(recent, [&](duration at) { return time - at > options_.period; });
  recent.push_back(time);
  const auto ticket = next_++;
  restart& it = restarts_[ticket];
  it.delay = backoff_delay(options_.backoff, static_cast<int>(recent.size()), random_);
  it.by_message = by_message;
  if (options_.strategy == restart_strategy::one_for_one)
    it.members.insert(cause.serial);
  else {
    for (auto& [serial, other] : children_) {
      const bool affected = options_.strategy == restart_strategy::one_for_all || serial >= cause.serial;
      if (other.state != child_state::quarantined && !other.forget && (affected || other.restart))
        it.members.insert(serial);
    }
    std::erase_if(restarts_, [&](auto& entry) { return entry.first != ticket; }); // they have joined this one
  }
  for (auto serial : it.members) children_.at(serial).restart = ticket;
  advance(ticket);
}

void supervisor_actor::advance(std::uint64_t ticket) {
  auto found = restarts_.find(ticket);
  if (found == restarts_.end()) return;
  restart& it = found->second;
  child* last = nullptr;
  for (auto serial : it.members) {
    child& member = children_.at(serial);
    if (member.state == child_state::stopping) return;
    if (member.state == child_state::running) last = &member;
  }
  if (last) return begin_stop(*last); // SUP-2: the last one first, one at a time
  if (it.waiting) return;
  it.waiting = true;
  const supervisor_tick due{supervisor_tick::what::restart, ticket, 0};
  if (it.delay.count() > 0)
    send_later(self_, it.delay, due); // SUP-4
  else if (it.by_message)
    tell(self_, self_, due);
  else
    start_members(ticket);
}

void supervisor_actor::start_members(std::uint64_t ticket) {
  auto found = restarts_.find(ticket);
  if (found == restarts_.end()) return;
  const auto members = std::move(found->second.members);
  restarts_.erase(found);
  for (auto serial : members) children_.at(serial).restart = 0;
  for (auto serial : members) {
    child& it = children_.at(serial);
    if (it.spec.restart == restart_kind::temporary) {
      forget(it);
      continue;
    }
    if (start(it, supervision_kind::restarted)) continue;
    const auto before = next_;
    act_on_end(it, false, true);
    if (stopping_ || next_ != before) return; // a new restart has taken over the members that are still down
  }
  start_waiting();
}

// -- messages
// ----------------------------------------------------------------------------------------------------------

void supervisor_actor::start_dynamic(child_spec spec, reply<actor_ref> answer) {
  if (stopping_) return answer.fail({errc::unavailable, options_.name + " is stopping"});
  if (child* other = find(spec.id)) {
    if (other->state == child_state::quarantined)
      return answer.fail(
          {errc::exhausted, "\"" + spec.id + "\" is quarantined: " + other->last_reason().message});
    return answer.fail({errc::conflict, "a child \"" + spec.id + "\" exists already"});
  }
  if (options_.strategy != restart_strategy::one_for_one &&
      !restarts_.empty()) { // it starts after those before it
    waiting_starts_.push_back({std::move(spec), std::move(answer)});
    return;
  }
  child& it = add(std::move(spec));
  if (start(it, supervision_kind::started)) return answer.deliver(it.who);
  answer.fail(it.last_reason());
  forget(it);
}

void supervisor_actor::start_waiting() {
  for (auto& next : std::exchange(waiting_starts_, {}))
    start_dynamic(std::move(next.spec), std::move(next.answer));
}

void supervisor_actor::stop_dynamic(const std::string& id, reply<done> answer) {
  child* it = find(id);
  if (!it) return answer.fail({errc::not_found, "no child \"" + id + "\""});
  it->past().stop_replies.push_back(std::move(answer));
  it->forget = true;
  if (it->state == child_state::running)
    begin_stop(*it);
  else if (it->state != child_state::stopping)
    forget(*it);
  if (restarts_.empty()) start_waiting();
}

void supervisor_actor::tick(const supervisor_tick& what) {
  if (what.kind == supervisor_tick::what::restart) return start_members(what.subject);
  child* it = find(what.subject);
  if (!it || it->state != child_state::stopping || it->past().life != what.life) return;
  if (what.kind == supervisor_tick::what::deadline) {
    observe(supervision_kind::killed_late, it, {errc::timeout, "it did not stop within its deadline"});
    kill(it->who);
    send_later(self_, kill_grace, supervisor_tick{supervisor_tick::what::abandon, it->serial, what.life});
    return;
  }
  const error stuck{errc::timeout, "\"" + it->spec.id + "\" was killed but a handler of it is still running"};
  for (auto& answer : std::exchange(it->past().stop_replies, {})) answer.fail(stuck);
  if (!stopping_) return; // no second life beside the first: wait on
  by_address_.erase(it->who.address());
  forget(*it);
  stop_next();
}

// -- the end
// -----------------------------------------------------------------------------------------------------------

void supervisor_actor::stop_everything(error reason) {
  if (stopping_) return;
  stopping_ = true;
  if (!reason.message.empty()) end_reason_ = std::move(reason);
  restarts_.clear();
  for (auto& waiting : std::exchange(waiting_starts_, {}))
    waiting.answer.fail({errc::unavailable, options_.name + " is stopping"});
  stop_next();
}

void supervisor_actor::stop_next() {
  while (!children_.empty()) {
    child& last = children_.rbegin()->second;
    if (last.state == child_state::stopping) return;
    if (last.state == child_state::running) return begin_stop(last);
    forget(last);
  }
  for (auto& answer : stop_replies_) answer.deliver({});
  stop_replies_.clear();
  if (end_reason_)
    self_->quit(to_caf(*end_reason_));
  else
    self_->quit();
}

// -- helpers
// -----------------------------------------------------------------------------------------------------------

duration supervisor_actor::now() const {
  return options_.time ? options_.time->now() : duration(self_->clock().now().time_since_epoch());
}

supervisor_actor::child* supervisor_actor::find(const std::string& id) {
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

supervisor_actor::child* supervisor_actor::find(std::uint64_t serial) {
  auto found = children_.find(serial);
  return found == children_.end() ? nullptr : &found->second;
}

void supervisor_actor::unname(child& it) {
  if (options_.names && it.who) options_.names->erase(it.spec.id, it.who);
}

void supervisor_actor::observe(supervision_kind kind, const child* it, const error& reason) {
  if (!options_.observer) return;
  try {
    options_.observer({kind, options_.name, it ? it->spec.id : std::string{}, reason, it ? it->restarts : 0});
  } catch (...) { // an observer's fault is not the children's
    ++stats().exceptions;
  }
}

actor_ref spawn_supervisor(caf::actor_system& system, supervisor_options options,
                           std::vector<child_spec> children) {
  return spawn_state<supervisor_actor>(system, std::move(options), std::move(children));
}

actor_ref spawn_supervisor(self_ptr parent, supervisor_options options, std::vector<child_spec> children) {
  return spawn_state<supervisor_actor>(parent, std::move(options), std::move(children));
}

} // namespace troupe

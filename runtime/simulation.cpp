#include "runtime/simulation.hpp"

#include <algorithm>
#include <cstdlib>
#include <cxxabi.h>
#include <unordered_map>

namespace troupe {

namespace {

/// The types of a message, and its text where the message has one.
std::string describe(const caf::type_erased_tuple& content) {
  std::string out;
  for (std::size_t i = 0; i < content.size(); ++i) {
    if (i > 0) out += ", ";
    const auto [number, info] = content.type(i);
    int status = 0;
    std::unique_ptr<char, void (*)(void*)> name{
        info ? abi::__cxa_demangle(info->name(), nullptr, nullptr, &status) : nullptr, std::free};
    const auto text = content.stringify(i);
    if (name) out += name.get();
    if (!name || text.find("unprintable") == text.npos) out += (name ? " " : "") + text;
  }
  return out.substr(0, 400);
}

} // namespace

simulation::simulation(std::uint64_t seed, std::vector<wire_type_registration> wire_types, duration start)
    : seed_(seed),
      order_(derive_seed(seed, "order of messages")),
      fault_(derive_seed(seed, "faults")),
      system_(configure(config_, wire_types)),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())),
      time_(scheduler_) {
  unit_ = std::make_unique<unit>(system_, scheduler_);
  scheduler_.clock().current_time +=
      std::chrono::duration_cast<caf::actor_clock::duration_type>(start); // 0 is special to CAF
  scheduler_.run();                                                       // CAF's own service actors
}

simulation::~simulation() {
  faults_ = {};
  if (nodes_) {
    for (auto* job : nodes_->all_held()) scheduler_.jobs.push_back(job);
    nodes_.reset(); // what is on its way is lost
  }
  release(caf::actor_clock::time_point::max());
  for (auto& who : owned_) kill(who);
  owned_.clear();
  while (!scheduler_.jobs.empty()) run_front();
  scheduler_.clock()
      .cancel_all(); // a periodic timer would keep the coordinator's destructor running for ever
}

caf::actor_system_config& simulation::configure(caf::actor_system_config& config,
                                                const std::vector<wire_type_registration>& types) {
  config.set("scheduler.policy", caf::atom("testing"));
  config.set("logger.inline-output", true);
  wire_types_of<caf::id_block::troupe_runtime>()(config);
  for (auto add : types) add(config);
  return config;
}

actor_ref simulation::own(actor_ref who) { return owned_.emplace_back(std::move(who)); }

sim_nodes& simulation::nodes() {
  if (!nodes_) {
    nodes_ = std::make_unique<sim_nodes>(seed_);
    nodes_->clock([this] { return time_.now(); });
  }
  return *nodes_;
}

bool simulation::runnable(caf::resumable* job, base_actor* actor) {
  if (nodes_->dead(*actor)) kill(actor); // it takes this one first, and nothing else
  if (!nodes_->held(*actor)) return true;
  nodes_->hold(*actor, job); // the scheduler's reference to it is theirs now
  scheduler_.jobs.pop_front();
  return false;
}

bool simulation::step() {
  auto& jobs = scheduler_.jobs;
  if (jobs.empty() || !powered_) return false;
  const bool loud = steps_ < faults_.quiet_after;
  if (loud && faults_.cut_chance > 0 && fault_.chance(faults_.cut_chance)) {
    powered_ = false;
    return false;
  }
  if (loud && faults_.kill_chance > 0) maybe_kill();
  if (steps_ == faults_.strike_at) strike();
  if (!powered_) return false;
  if (jobs.size() > 1) {
    const auto i = static_cast<std::ptrdiff_t>(order_.below(jobs.size()));
    std::rotate(jobs.begin(), jobs.begin() + i, jobs.begin() + i + 1);
  }
  if (loud && faults_.stall_chance > 0 && maybe_stall()) return true;
  if (auto* actor = dynamic_cast<base_actor*>(jobs.front())) {
    if (nodes_ && !runnable(jobs.front(), actor)) return true;
    mix(actor->id());
    if (auto* next = actor->peek_at_next_mailbox_element()) mix(next->content());
    if (observer_) tell_observer();
    if (nodes_) nodes_->enter(actor);
  }
  ++steps_;
  run_front();
  if (nodes_) nodes_->enter(nullptr);
  return true;
}

bool simulation::run_front() {
  auto* job = scheduler_.jobs.front();
  scheduler_.jobs.pop_front();
  switch (job->resume(unit_.get(), 1)) {
  case caf::resumable::resume_later: scheduler_.jobs.push_front(job); break;
  case caf::resumable::done:
  case caf::resumable::awaiting_message: caf::intrusive_ptr_release(job); break;
  case caf::resumable::shutdown_execution_unit: break;
  }
  return true;
}

bool simulation::maybe_stall() {
  if (!fault_.chance(faults_.stall_chance)) return false;
  const auto until = scheduler_.clock().now() + std::chrono::duration_cast<caf::actor_clock::duration_type>(
                                                    faults_.stall_by * fault_.uniform());
  stalled_.emplace(until, scheduler_.jobs.front()); // the scheduler's reference to it is ours now
  scheduler_.jobs.pop_front();
  ++stalls_;
  return true;
}

void simulation::release(caf::actor_clock::time_point until) {
  for (auto it = stalled_.begin(); it != stalled_.end() && it->first <= until; it = stalled_.erase(it))
    scheduler_.jobs.push_back(it->second);
}

void simulation::tell_observer() {
  auto& actor = dynamic_cast<caf::scheduled_actor&>(*scheduler_.jobs.front());
  delivery news;
  news.at = time_.now();
  news.actor = actor.id();
  news.name = actor.name();
  if (auto* next = actor.peek_at_next_mailbox_element()) news.message = describe(next->content());
  observer_(news);
}

void simulation::mix(const caf::type_erased_tuple& message) {
  // By name: a type's address is another in every process. What a message holds shows in what follows from it.
  static thread_local std::unordered_map<const std::type_info*, std::uint64_t> names;
  for (std::size_t i = 0; i < message.size(); ++i) {
    const auto [number, info] = message.type(i);
    mix(number);
    if (!info) continue;
    auto [known, fresh] = names.try_emplace(info);
    if (fresh) known->second = derive_seed(0, info->name());
    mix(known->second);
  }
}

void simulation::run() {
  if (const auto now = time_.now(); now != instant_) { // timers of no length do not pass time
    instant_ = now;
    in_instant_ = 0;
  }
  while (step())
    if (in_instant_++ >= most_per_instant_) {
      endless_ = true;
      powered_ = false;
    }
}

std::size_t simulation::run_for(duration time) {
  auto& clock = scheduler_.clock();
  const auto before = steps_;
  const auto end = clock.now() + std::chrono::duration_cast<caf::actor_clock::duration_type>(time);
  take_released();
  for (run(); fire_next_timer(end); run()) {
  }
  if (end > clock.now()) clock.advance_time(end - clock.now());
  run();
  return steps_ - before;
}

bool simulation::fire_next_timer(caf::actor_clock::time_point end) {
  auto& clock = scheduler_.clock();
  const auto& due = clock.schedule();
  const auto arrives =
      nodes_ && nodes_->links().next_due()
          ? caf::actor_clock::time_point(
                std::chrono::duration_cast<caf::actor_clock::duration_type>(*nodes_->links().next_due()))
          : caf::actor_clock::time_point::max();
  if (!powered_ || (due.empty() && stalled_.empty() && arrives == caf::actor_clock::time_point::max()))
    return false;
  const auto wakes = stalled_.empty() ? caf::actor_clock::time_point::max() : stalled_.begin()->first;
  const auto fires = due.empty() ? caf::actor_clock::time_point::max() : due.begin()->first;
  auto next = std::min({wakes, fires, arrives});
  if (next > end) return false;
  if (fires <= std::min(wakes, arrives) && faults_.late_timer_chance > 0 && steps_ < faults_.quiet_after &&
      fault_.chance(faults_.late_timer_chance))
    next += std::chrono::duration_cast<caf::actor_clock::duration_type>(faults_.late_by * fault_.uniform());
  next = std::min(next, end); // a late timer takes those due meanwhile with it, as a busy machine does
  clock.advance_time(
      std::max<caf::actor_clock::duration_type>(next - clock.now(), caf::actor_clock::duration_type{0}));
  release(clock.now());
  if (nodes_) {
    nodes_->deliver(time_.now());
    take_released();
  }
  return true;
}

void simulation::take_released() {
  if (!nodes_) return;
  for (auto* job : nodes_->released()) scheduler_.jobs.push_back(job);
}

void simulation::strike() {
  faults_.strike_at = static_cast<std::size_t>(-1);
  if (faults_.strike_whom.empty()) {
    powered_ = false;
    return;
  }
  for (const auto& name : faults_.names->names()) {
    if (!name.starts_with(faults_.strike_whom)) continue;
    kill(faults_.names->find(name));
    ++kills_;
    return;
  }
}

void simulation::maybe_kill() {
  if (!faults_.names || !fault_.chance(faults_.kill_chance)) return;
  std::vector<actor_ref> living;
  for (auto& name : faults_.victims)
    if (auto who = faults_.names->find(name)) living.push_back(std::move(who));
  for (const auto& node : faults_.other_nodes)
    for (auto& name : faults_.victims)
      if (auto who = node->find_here(name)) living.push_back(std::move(who));
  if (living.empty()) return;
  kill(living[fault_.below(living.size())]);
  ++kills_;
}

} // namespace troupe

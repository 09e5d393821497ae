#include "runtime/simulation.hpp"

#include <algorithm>

namespace troupe {

simulation::simulation(std::uint64_t seed, std::vector<wire_type_registration> wire_types)
    : seed_(seed),
      order_(derive_seed(seed, "order of messages")),
      fault_(derive_seed(seed, "faults")),
      system_(configure(config_, wire_types)),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())),
      time_(scheduler_) {
  scheduler_.clock().current_time += std::chrono::hours(1); // 0 is special to CAF
  scheduler_.run();                                         // CAF's own service actors
}

simulation::~simulation() {
  faults_ = {};
  for (auto& who : owned_) kill(who);
  owned_.clear();
  scheduler_.run();
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

bool simulation::step() {
  auto& jobs = scheduler_.jobs;
  if (jobs.empty()) return false;
  if (faults_.kill_chance > 0) maybe_kill();
  if (jobs.size() > 1) {
    const auto i = static_cast<std::ptrdiff_t>(order_.below(jobs.size()));
    std::rotate(jobs.begin(), jobs.begin() + i, jobs.begin() + i + 1);
  }
  if (auto* actor = dynamic_cast<caf::scheduled_actor*>(jobs.front())) {
    mix(actor->id());
    if (auto* next = actor->peek_at_next_mailbox_element()) mix(next->content().stringify());
  }
  ++steps_;
  return scheduler_.try_run_once();
}

void simulation::mix(const std::string& message) {
  bool node = false; // an actor's text is "id@node", and a node's name holds the process's number: not part
                     // of the trace
  for (char c : message) {
    if (node && (c == ',' || c == ')' || c == ']' || c == '}' || c == ' ')) node = false;
    if (!node) mix(static_cast<unsigned char>(c));
    if (c == '@') node = true;
  }
}

void simulation::run() {
  while (step()) {
  }
}

std::size_t simulation::run_for(duration time) {
  auto& clock = scheduler_.clock();
  const auto before = steps_;
  const auto end = clock.now() + std::chrono::duration_cast<caf::actor_clock::duration_type>(time);
  for (run(); fire_next_timer(end); run()) {
  }
  if (end > clock.now()) clock.advance_time(end - clock.now());
  run();
  return steps_ - before;
}

bool simulation::fire_next_timer(caf::actor_clock::time_point end) {
  auto& clock = scheduler_.clock();
  const auto& due = clock.schedule();
  if (due.empty()) return false;
  auto next = due.begin()->first;
  if (faults_.late_timer_chance > 0 && fault_.chance(faults_.late_timer_chance))
    next += std::chrono::duration_cast<caf::actor_clock::duration_type>(faults_.late_by * fault_.uniform());
  if (due.begin()->first > end) return false;
  next = std::min(next, end); // a late timer takes those due meanwhile with it, as a busy machine does
  clock.advance_time(
      std::max<caf::actor_clock::duration_type>(next - clock.now(), caf::actor_clock::duration_type{0}));
  return true;
}

void simulation::maybe_kill() {
  if (!faults_.names || !fault_.chance(faults_.kill_chance)) return;
  std::vector<actor_ref> living;
  for (auto& name : faults_.victims)
    if (auto who = faults_.names->find(name)) living.push_back(std::move(who));
  if (living.empty()) return;
  kill(living[fault_.below(living.size())]);
  ++kills_;
}

} // namespace troupe

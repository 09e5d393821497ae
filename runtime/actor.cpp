#include "runtime/actor.hpp"

#include "runtime/coarse_timers.hpp"
#include "runtime/message_types.hpp"

#include <pthread.h>

#include <map>
#include <mutex>

namespace troupe {

namespace {
const caf::atom_value category = caf::atom("troupe");
}

caf::error to_caf(const error& what) {
  // Code 0 means "no error" to CAF, hence the shift by one.
  return caf::error{static_cast<std::uint8_t>(static_cast<std::uint8_t>(what.code) + 1), category,
                    caf::make_message(what.message)};
}

error from_caf(const caf::error& what) {
  if (what.category() == category) {
    std::string text;
    if (what.context().match_elements<std::string>()) text = what.context().get_as<std::string>(0);
    return {static_cast<errc>(what.code() - 1), std::move(text)};
  }
  if (what == caf::sec::request_timeout) return {errc::timeout, "no answer before the deadline"};
  if (what == caf::sec::request_receiver_down) return {errc::unavailable, "the actor that was asked is gone"};
  if (what.category() == caf::atom("exit"))
    return {errc::unavailable, "the actor that was asked ended: " + to_string(what)};
  return {errc::internal, to_string(what)};
}

actor_stats& stats() {
  static actor_stats it;
  return it;
}

namespace {
struct count_list {
  std::mutex mutex;
  std::multimap<std::string, live_count*> entries;
};
count_list& counts() {
  static count_list it;
  return it;
}
} // namespace

live_count::live_count(const char* name) {
  std::scoped_lock lock(counts().mutex);
  counts().entries.emplace(name, this);
}

std::vector<std::pair<std::string, std::int64_t>> living_actors() {
  std::scoped_lock lock(counts().mutex);
  std::vector<std::pair<std::string, std::int64_t>> out;
  for (auto& [name, count] : counts().entries) {
    const auto n = count->now.load();
    if (n == 0) continue;
    if (!out.empty() && out.back().first == name)
      out.back().second += n;
    else
      out.emplace_back(name, n);
  }
  return out;
}

namespace {
using deadlines_atom = caf::atom_constant<caf::atom("deadlines")>;
using end_of_stall_atom = caf::atom_constant<caf::atom("stall_end")>;
} // namespace

void base_actor::watch_deadline(caf::message_id response, duration deadline) {
  watch({clock().now() + to_timeout(deadline), response, {}});
}

void base_actor::watch_answer(caf::message_id response, duration pause, std::function<void()> again) {
  watch({clock().now() + to_timeout(pause), response,
         std::make_unique<std::function<void()>>(std::move(again))});
}

void base_actor::watch(open_request what) {
  requests_.push_back(std::move(what));
  // A short deadline is met to the millisecond; a long one is looked at now and then, at first soon: most requests are
  // answered at once, and a timer keeps its actor in memory.
  constexpr duration first_step = std::chrono::seconds(1);
  if (requests_.back().due < timer_due_) {
    timer_step_ = first_step;
    arm_timer(clock().now());
  }
}

void base_actor::arm_timer(std::chrono::steady_clock::time_point now) {
  auto due = now + timer_step_;
  bool near = false;
  for (const auto& r : requests_)
    if (r.due < due) due = r.due, near = true;
  if (due >= timer_due_) return;
  timer_due_ = due;
  if (!near) return remind(due - now, caf::make_message(deadlines_atom::value));
  delayed_send(this, std::chrono::ceil<std::chrono::milliseconds>(due - now), deadlines_atom::value);
}

void base_actor::remind(duration delay, caf::message what) {
  if (const auto* with = dynamic_cast<const with_coarse_timers*>(&system().config()))
    with->timers().add(delay, caf::weak_actor_ptr{ctrl()}, std::move(what));
  else
    delayed_send(this, to_timeout(delay), std::move(what));
}

void base_actor::check_deadlines() {
  const auto now = clock().now();
  if (now < timer_due_) return; // an earlier timer has done this one's work
  timer_due_ = std::chrono::steady_clock::time_point::max();
  std::vector<std::function<void()>> again;
  std::erase_if(requests_, [&](open_request& r) {
    if (multiplexed_responses_.find(r.response) == multiplexed_responses_.end()) return true; // answered
    if (now < r.due) return false;
    if (r.again)
      again.push_back(std::move(*r.again));
    else
      enqueue(ctrl(), r.response, caf::make_message(caf::make_error(caf::sec::request_timeout)), context());
    return true;
  });
  // Doubled for ever, it would wrap around.
  constexpr duration longest_step = std::chrono::hours(1);
  timer_step_ = std::min(2 * timer_step_, longest_step);
  if (requests_.empty())
    forget_requests(); // its room, too: whoever waits now may do so for long
  else
    arm_timer(now);
  for (const auto& run : again) run();
}

std::optional<caf::result<caf::message>> base_actor::own_message(const caf::message_view& what) {
  const auto& content = what.content();
  if (content.match_elements<deadlines_atom>()) {
    check_deadlines();
    return caf::make_message();
  }
  if (releases(content)) return caf::make_message();
  if (stalled_) return caf::result<caf::message>(caf::skip());
  if (content.match_elements<sign_of_life>()) return caf::make_message(troupe::done{});
  if (content.match_elements<inject_throw>()) throw std::runtime_error(content.get_as<inject_throw>(0).why);
  if (content.match_elements<inject_stall>()) {
    stall(content.get_as<inject_stall>(0).length);
    return caf::make_message();
  }
  return std::nullopt;
}

void base_actor::stall(duration length) {
  stalled_ = true;
  become(caf::keep_behavior, [this](end_of_stall_atom) {
    stalled_ = false;
    unbecome();
  });
  if (length > duration(0)) delayed_send(this, to_timeout(length), end_of_stall_atom::value);
}

void thread_policy::name_own(const char* name) const {
  if (own_threads) ::pthread_setname_np(::pthread_self(), name);
}

void kill(const actor_ref& whom) {
  if (whom)
    caf::anon_send<caf::message_priority::high>(
        whom, caf::exit_msg{whom.address(), caf::make_error(caf::exit_reason::kill)});
}

void request_stop(const actor_ref& whom) {
  if (whom)
    caf::anon_send(whom, caf::exit_msg{whom.address(), caf::make_error(caf::exit_reason::user_shutdown)});
}

} // namespace troupe

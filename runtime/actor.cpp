#include "runtime/actor.hpp"

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

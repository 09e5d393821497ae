#include "actors/cluster/membership.hpp"

#include <algorithm>

namespace troupe {

void membership::adopt(std::string node, std::uint64_t epoch, duration now) {
  member it;
  it.node = std::move(node);
  it.epoch = epoch;
  it.until = now + lease_;
  members_[epoch] = std::move(it);
}

void membership::add(const join_cluster& who, std::uint64_t epoch, duration now) {
  member it;
  it.node = who.node;
  it.epoch = epoch;
  it.attempt = who.attempt;
  it.agent = who.agent;
  it.until = now + lease_;
  members_[epoch] = std::move(it);
  auto& known = agents_[who.node];
  std::erase_if(known, [&](const auto& one) { return one.first == who.agent; });
  known.emplace_back(who.agent, who.attempt);
  if (known.size() > 16) known.erase(known.begin());
}

bool membership::heard(const heartbeat& from, duration now) {
  auto* it = find(from.epoch);
  if (!it) return false;
  it->until = now + lease_;
  it->agent = from.agent;
  it->engine = from.engine;
  return true;
}

const membership::member* membership::joined_again(const join_cluster& who, duration now) {
  for (auto& [epoch, it] : members_)
    if (it.node == who.node && it.agent == who.agent && it.attempt == who.attempt) {
      it.until = std::max(it.until, now + lease_);
      return &it;
    }
  return nullptr;
}

bool membership::overtaken(const join_cluster& who) const {
  const auto known = agents_.find(who.node);
  if (known == agents_.end()) return false;
  const auto& list = known->second;
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.first == who.agent; });
  if (found == list.end()) return false;
  return found->second >= who.attempt || found + 1 != list.end();
}

std::vector<std::uint64_t> membership::expired(duration now) const {
  std::vector<std::uint64_t> out;
  for (const auto& [epoch, it] : members_)
    if (now >= it.until) out.push_back(epoch);
  return out;
}

void membership::extend(duration by) {
  for (auto& [epoch, it] : members_) it.until += by;
}

void membership::remove(std::uint64_t epoch) { members_.erase(epoch); }

membership::member* membership::find(std::uint64_t epoch) {
  const auto found = members_.find(epoch);
  return found == members_.end() ? nullptr : &found->second;
}

std::vector<std::uint64_t> membership::epochs_of(const std::string& node) const {
  std::vector<std::uint64_t> out;
  for (const auto& [epoch, it] : members_)
    if (it.node == node) out.push_back(epoch);
  return out;
}

} // namespace troupe

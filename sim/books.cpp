#include "sim/books.hpp"

#include <algorithm>

namespace troupe::sim {

namespace {
std::uint64_t number(const json::object& body, std::string_view key) {
  return static_cast<std::uint64_t>(body.at(key).to_number<std::int64_t>());
}
} // namespace

std::vector<consumption> counted_consumptions(const evidence& of) {
  std::vector<consumption> out;
  for (const auto& r : of.consumptions) {
    const auto body = json::parse(r.body)->get_object();
    consumption one;
    one.step = number(body, "step");
    one.seq = r.seq;
    for (const auto& g : body.at("groups").get_array()) one.groups.push_back(g.to_number<std::uint64_t>());
    for (const auto& id : body.at("trained").get_array()) one.trained.emplace_back(id.get_string());
    for (const auto& pair : body.at("retired").get_array())
      one.retired.emplace_back(pair.get_array()[0].get_string(), pair.get_array()[1].get_string());
    const bool undone =
        came_too_late(r, of.rollbacks) ||
        std::any_of(of.rollbacks.begin(), of.rollbacks.end(), [&](const record& back) {
          return back.seq > r.seq && one.step >= number(json::parse(back.body)->get_object(), "steps");
        });
    if (!undone) out.push_back(std::move(one));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return out;
}

expected<trajectory> replayed(const evidence& of, const rollout_key& key) {
  trajectory out(key, of.run->train_task(key.group), of.run->rules, of.run->config.rollout.temperature);
  const auto found = of.rollouts.find(stream_of(key));
  std::vector<std::optional<observation>> observed;
  if (found == of.rollouts.end()) return fail(errc::not_found, "no record of " + key.text());
  if (auto ok = replay_records(out, found->second, observed); !ok) return fail(ok.error());
  return out;
}

} // namespace troupe::sim

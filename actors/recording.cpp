#include "actors/recording.hpp"

#include "actors/ledger.hpp"
#include "actors/record_body.hpp"
#include "actors/turn_record.hpp"

#include <algorithm>

namespace troupe {

namespace {

tl::unexpected<error> broken(const record& r, const error& why) {
  return fail(why.code == errc::version ? errc::version : errc::corrupt,
              "record " + r.key + " (seq " + std::to_string(r.seq) + "): " + why.message);
}

/// Before anything decodes them.
expected<void> check_tokens(const record& r, int vocabulary) {
  if (r.kind != "turn") return {};
  auto body = body_of(r);
  if (!body) return fail(body.error());
  auto what = generated_in(*body);
  if (!what) return broken(r, what.error());
  for (auto t : what->tokens)
    if (t < 0 || t >= vocabulary)
      return broken(r, {errc::corrupt,
                        "token " + std::to_string(t) + ", expected 0 to " + std::to_string(vocabulary - 1)});
  return {};
}

} // namespace

expected<std::vector<recorded_event>> read_events(event_store& store) {
  auto consumptions = store.read_kind("consumption");
  if (!consumptions) return fail(consumptions.error());
  auto rollbacks = store.read_kind("rollback");
  if (!rollbacks) return fail(rollbacks.error());
  if (consumptions->empty()) return fail(errc::not_found, "no step was recorded yet, expected at least one");
  std::vector<recorded_event> out;
  for (const auto& r : *consumptions) {
    if (came_too_late(r, *rollbacks)) continue;
    auto body = body_of(r);
    if (!body) return fail(body.error());
    recorded_event event;
    event.seq = r.seq;
    auto step = json::int_at(*body, "step");
    if (!step) return broken(r, step.error());
    event.step = static_cast<std::uint64_t>(*step);
    auto made = made_in(*body);
    if (!made) return broken(r, made.error());
    event.made = std::move(*made);
    auto groups = json::array_at(*body, "groups");
    if (!groups) return broken(r, groups.error());
    for (const auto& group : **groups) {
      if (!group.is_int64()) return broken(r, {errc::corrupt, "a group that is no number"});
      event.groups.push_back(static_cast<std::uint64_t>(group.get_int64()));
    }
    for (const char* list : {"trained", "retired"})
      if (auto there = json::array_at(*body, list); !there) return broken(r, there.error());
    event.consumed = std::move(*body);
    out.push_back(std::move(event));
  }
  for (const auto& r : *rollbacks) {
    auto body = body_of(r);
    if (!body) return fail(body.error());
    auto steps = json::int_at(*body, "steps");
    if (!steps) return broken(r, steps.error());
    recorded_event event;
    event.seq = r.seq;
    event.rollback = true;
    event.step = static_cast<std::uint64_t>(*steps);
    out.push_back(std::move(event));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
  return out;
}

expected<recorded_rollout> read_recorded(event_store& store, const run_context& ctx, const rollout_key& key) {
  auto records = store.read_stream(stream_of(key));
  if (!records) return fail(records.error());
  recorded_rollout out;
  out.read =
      std::make_shared<trajectory>(key, ctx.train_task(key.group), ctx.rules, ctx.config.rollout.temperature);
  out.failed = failure_in(*records).failed.has_value(); // and not tried again since
  std::vector<std::optional<observation>> observed;
  for (const auto& r : *records) {
    if (auto ok = check_tokens(r, ctx.model_shape().vocab_size); !ok) {
      out.broken = ok.error();
      return out;
    }
    const auto begin = out.read->tokens().size();
    const int room = out.read->room();
    if (auto ok = replay_records(*out.read, {r}, observed); !ok) {
      out.broken = ok.error();
      return out;
    }
    if (r.kind == "turn") {
      auto body = body_of(r);
      if (!body) return fail(body.error());
      recorded_turn turn;
      turn.seq = r.seq;
      turn.begin = begin;
      turn.room = room;
      auto what = generated_in(*body);
      if (!what) return broken(r, what.error()); // replay_records has read it: it is there
      turn.what = std::move(*what);
      for (const auto& call : out.read->calls()) turn.calls.push_back({call, std::nullopt});
      out.turns.push_back(std::move(turn));
    } else if (r.kind == "tool") {
      auto body = body_of(r);
      if (!body) return fail(body.error());
      const auto call = json::int_at(*body, "call");
      const auto text = json::string_at(*body, "text");
      if (out.turns.empty() || !call || !text ||
          static_cast<std::size_t>(*call) >= out.turns.back().calls.size())
        return broken(r, {errc::corrupt, "a tool result that no call asked for"});
      out.turns.back().calls[static_cast<std::size_t>(*call)].result =
          observation{*text, body->at("failed").as_bool()};
    }
  }
  return out;
}

} // namespace troupe

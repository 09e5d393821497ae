#include "actors/trajectory.hpp"
#include "actors/turn_record.hpp"
#include "runtime/base/json_text.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>
#include <cassert>

namespace troupe {

namespace {

/// Room for exactly so many more: thousands wait for long, and each grows seldom.
void reserve_more(std::size_t more, auto&... lists) { (lists.reserve(lists.size() + more), ...); }

} // namespace

std::vector<token> trajectory_rules::turn_ends() const {
  return ends.empty() ? std::vector<token>{*words->special(end_token)} : ends;
}

trajectory::trajectory(rollout_key key, std::shared_ptr<const task> what, const trajectory_rules& rules,
                       double temperature)
    : key_(key),
      rules_(&rules),
      // The rules outlive it, so their tools are shared without being owned.
      episode_(std::move(what), rules.limits, {std::shared_ptr<void>(), &rules.tools}, rules.format),
      temperature_(temperature) {
  append(rules_->words->encode(episode_.opening()));
  if (room() < 1) episode_.context_full();
}

trajectory::trajectory(rollout_key key, task what, const trajectory_rules& rules, double temperature)
    : trajectory(key, std::make_shared<const task>(std::move(what)), rules, temperature) {}

void trajectory::append(const std::vector<token>& more) {
  reserve_more(more.size(), tokens_);
  tokens_.insert(tokens_.end(), more.begin(), more.end());
}

const std::vector<tool_call>& trajectory::calls() const {
  static const std::vector<tool_call> none;
  return episode_.awaits_results() ? episode_.asked() : none;
}

trajectory::need trajectory::next() const {
  if (episode_.done()) return need::verdict;
  return episode_.awaits_results() ? need::tools : need::turn;
}

int trajectory::room() const {
  const auto left = rules_->context - static_cast<std::int64_t>(tokens_.size());
  return left < rules_->max_turn_tokens ? 0 : rules_->max_turn_tokens;
}

void trajectory::add_turn(const generated& turn) {
  assert(next() == need::turn);
  const auto begin = tokens_.size();
  append(turn.tokens);
  reserve_more(turn.logprobs.size(), logprobs_);
  logprobs_.insert(logprobs_.end(), turn.logprobs.begin(), turn.logprobs.end());
  for (const auto version : turn.versions) {
    if (versions_.empty() || versions_.back().version != version) {
      reserve_more(1, versions_);
      versions_.push_back({version, 0});
    }
    ++versions_.back().tokens;
  }
  reserve_more(1, turns_);
  turns_.push_back({begin, tokens_.size(), {}});
  const auto [text, ended] = text_of(turns_.back());
  episode_.turn(text, ended);
  if (!ended) ++cut_turns_;
}

std::pair<std::string, bool> trajectory::text_of(const turn_record& turn) const {
  const auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(turn.begin);
  const auto end = tokens_.begin() + static_cast<std::ptrdiff_t>(turn.end);
  const auto ends = rules_->turn_ends();
  const bool ended = begin != end && std::find(ends.begin(), ends.end(), *std::prev(end)) != ends.end();
  return {rules_->words->decode({begin, ended ? std::prev(end) : end}), ended};
}

std::vector<std::uint64_t> trajectory::sampled_versions() const {
  std::vector<std::uint64_t> out;
  out.reserve(logprobs_.size());
  for (const auto& run : versions_) out.insert(out.end(), run.tokens, run.version);
  return out;
}

std::uint64_t trajectory::oldest_version() const {
  std::uint64_t oldest = ~std::uint64_t{0};
  for (const auto& run : versions_) oldest = std::min(oldest, run.version);
  return oldest;
}

void trajectory::add_observations(const std::vector<observation>& results) {
  assert(next() == need::tools && results.size() == calls().size());
  const auto pieces = episode_.observe(results);
  for (const auto& piece : pieces)
    if (!piece.special) turns_.back().observed += piece.text;
  if (episode_.done()) return; // out of turns: the policy never sees it
  append(rules_->words->encode(pieces));
  if (room() < 1) episode_.context_full();
}

std::int64_t trajectory::sampled_tokens() const { return static_cast<std::int64_t>(logprobs_.size()); }

rl_sample trajectory::sample(double gamma) const {
  assert(verdict_);
  rl_sample out;
  out.id = key_.text();
  out.tokens = tokens_;
  out.mask.resize(tokens_.size(), 0);
  out.behaviour_logprobs.resize(tokens_.size(), 0.0f);
  out.versions.resize(tokens_.size(), 0);
  const auto versions = sampled_versions();
  std::size_t sampled = 0;
  for (const auto& turn : turns_)
    for (auto i = turn.begin; i < turn.end; ++i, ++sampled) {
      out.mask[i] = 1;
      out.behaviour_logprobs[i] = logprobs_[sampled];
      out.versions[i] = versions[sampled];
    }
  out.temperature = temperature_;
  out.reward = verdict_->reward;
  out.turn_weights.assign(tokens_.size(), 1.0f);
  const auto by_turn = turn_weights(static_cast<int>(turns_.size()), verdict_->correct, gamma);
  for (std::size_t t = 0; t < turns_.size(); ++t)
    std::fill(out.turn_weights.begin() + static_cast<std::ptrdiff_t>(turns_[t].begin),
              out.turn_weights.begin() + static_cast<std::ptrdiff_t>(turns_[t].end),
              static_cast<float>(by_turn[t]));
  return out;
}

transcript trajectory::as_transcript() const {
  transcript out;
  out.id = key_.text();
  out.what = episode_.what();
  out.end = episode_.end();
  out.judged = verdict_;
  out.turns.push_back({speaker::user, episode_.what().question});
  const auto by_token = sampled_versions();
  std::size_t sampled = 0;
  for (const auto& t : turns_) {
    transcript_turn turn{speaker::assistant, text_of(t).first, static_cast<int>(t.end - t.begin)};
    double sum = 0;
    std::array<std::uint64_t, 2> versions{~std::uint64_t{0}, 0};
    for (auto i = t.begin; i < t.end; ++i, ++sampled) {
      sum += static_cast<double>(logprobs_[sampled]);
      versions = {std::min(versions[0], by_token[sampled]), std::max(versions[1], by_token[sampled])};
    }
    if (t.end > t.begin) {
      turn.versions = versions;
      turn.mean_logprob = sum / static_cast<double>(t.end - t.begin);
    }
    out.turns.push_back(std::move(turn));
    if (!t.observed.empty()) out.turns.push_back({speaker::tool, t.observed});
  }
  return out;
}

// -- records -----------------------------------------------------------------------------------------------------------------

namespace {

std::string numbered(std::string_view kind, const rollout_key& key, std::uint64_t turn) {
  return std::string(kind) + "/" + key.text() + "/" + std::to_string(turn);
}

} // namespace

new_record placed_by(const write_fence& who, new_record what) {
  if (who.epoch != 0)
    what.body.insert(what.body.size() - 1,
                     ",\"placed\":[" + std::to_string(who.epoch) + "," + std::to_string(who.placement) + "]");
  return what;
}

new_record turn_record_of(const rollout_key& key, std::uint64_t turn, const generated& what) {
  json::object_text body(64 + 24 * what.tokens.size());
  body.list("tokens", what.tokens);
  body.list("logprobs", what.logprobs); // the shortest text of a float reads back as the same float
  body.list("versions", what.versions);
  body.field("reason", static_cast<int>(what.reason));
  return {stream_of(key), "turn", numbered("turn", key, turn), std::move(body).take()};
}

new_record tool_record_of(const rollout_key& key, std::uint64_t turn, std::size_t call,
                          const observation& what) {
  json::object_text body(64 + what.text.size());
  body.field("turn", turn).field("call", call).field("text", what.text).field("failed", what.failed);
  return {stream_of(key), "tool", numbered("tool", key, turn) + "/" + std::to_string(call),
          std::move(body).take()};
}

expected<observation> observation_of(const record& tool_result) {
  const auto body = json::parse(tool_result.body);
  if (body && body->is_object()) {
    const auto text = json::string_at(body->get_object(), "text");
    const auto* failed = body->get_object().if_contains("failed");
    if (text && failed && failed->is_bool()) return observation{*text, failed->get_bool()};
  }
  return fail(errc::corrupt, "record " + tool_result.key + ": expected text and failed");
}

new_record park_record_of(const rollout_key& key, std::uint64_t turns) {
  json::object_text body;
  body.field("turns", turns);
  return {stream_of(key), "park", numbered("park", key, turns), std::move(body).take()};
}

new_record failed_record_of(const rollout_key& key, std::uint64_t retries, const error& why) {
  json::object body{{"code", to_string(why.code)}, {"message", why.message}};
  const auto again = retries > 0 ? "/" + std::to_string(retries) : std::string();
  return {stream_of(key), "failed", "failed/" + key.text() + again, json::dump(body)};
}

new_record retry_record_of(const rollout_key& key, std::uint64_t retries) {
  return {stream_of(key), "retry", numbered("retry", key, retries), "{}"};
}

failure_state failure_in(const std::vector<record>& records) {
  failure_state out;
  for (const auto& r : records) {
    if (r.kind == "retry") {
      out.failed.reset();
      ++out.retries;
    } else if (r.kind == "failed") {
      out.failed = error{errc::internal, "failed in an earlier life"};
      const auto body = json::parse(r.body);
      if (!body || !body->is_object()) continue;
      if (auto code = json::string_at(body->get_object(), "code")) out.failed->code = parse_errc(*code);
      if (auto text = json::string_at(body->get_object(), "message")) out.failed->message = *text;
    }
  }
  return out;
}

new_record verdict_record_of(const trajectory& finished) {
  const auto& v = *finished.judged();
  json::object_text parts;
  for (const auto& [name, value] : v.parts) parts.field(name, value);
  json::object_text body(256);
  body.field("task", finished.state().what().id)
      .field("reward", v.reward)
      .field("correct", v.correct)
      .field("judge", v.judge_version)
      .field("end", to_string(finished.state().end()))
      .field("error", to_string(finished.state().error()))
      .field("turns", finished.state().turns())
      .field("calls", finished.state().calls())
      .field("parts", std::move(parts));
  return {stream_of(finished.key()), "verdict", "verdict/" + finished.key().text(), std::move(body).take()};
}

expected<void> replay_records(trajectory& onto, const std::vector<record>& records,
                              std::vector<std::optional<observation>>& observed) {
  auto broken = [](const record& r, std::string_view why) {
    return fail(errc::corrupt,
                "record " + r.key + " (seq " + std::to_string(r.seq) + "): " + std::string(why));
  };
  auto take_observations = [&] {
    if (onto.next() != trajectory::need::tools || observed.size() != onto.calls().size()) return;
    std::vector<observation> all;
    for (const auto& o : observed) {
      if (!o) return;
      all.push_back(*o);
    }
    onto.add_observations(all);
    observed.clear();
  };
  for (const auto& r : records) {
    auto parsed = json::parse(r.body);
    if (!parsed || !parsed->is_object()) return broken(r, "is not a JSON object");
    const auto& body = parsed->get_object();
    if (r.kind == "turn") {
      if (onto.next() != trajectory::need::turn) return broken(r, "a turn where none is due");
      auto turn = generated_in(body);
      if (!turn) return broken(r, turn.error().message);
      if (planted("versions_forgotten") && !turn->versions.empty())
        turn->versions.assign(turn->versions.size(), turn->versions.back() + 1);
      onto.add_turn(*turn);
      observed.assign(onto.next() == trajectory::need::tools ? onto.calls().size() : 0, std::nullopt);
    } else if (r.kind == "tool") {
      auto call = json::int_at(body, "call");
      auto text = json::string_at(body, "text");
      const auto* failed = body.if_contains("failed");
      if (!call || !text || !failed || !failed->is_bool()) return broken(r, "expected call, text and failed");
      if (onto.next() != trajectory::need::tools || *call < 0 ||
          static_cast<std::size_t>(*call) >= observed.size())
        return broken(r, "a tool result that no call asked for");
      observed[static_cast<std::size_t>(*call)] = observation{*text, failed->get_bool()};
      take_observations();
    } else if (r.kind == "verdict") {
      if (onto.next() != trajectory::need::verdict) return broken(r, "a verdict before the end");
      auto reward = json::number_at(body, "reward");
      auto judge = json::int_at(body, "judge");
      auto parts = json::object_at(body, "parts");
      const auto* correct = body.if_contains("correct");
      if (!reward || !judge || !parts || !correct || !correct->is_bool())
        return broken(r, "expected reward, correct, judge and parts");
      verdict v;
      v.reward = *reward;
      v.correct = correct->get_bool();
      v.judge_version = static_cast<int>(*judge);
      for (const auto& part : **parts)
        if (part.value().is_number()) v.parts[std::string(part.key())] = part.value().to_number<double>();
      onto.set_verdict(std::move(v));
    }
  }
  return {};
}

} // namespace troupe

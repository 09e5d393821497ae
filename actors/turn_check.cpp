#include "actors/turn_check.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>

namespace troupe {

namespace {

std::string exact(float x) {
  char text[64];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(x));
  return text;
}

std::string name_of(finish_reason why) {
  switch (why) {
  case finish_reason::stop: return "its end token";
  case finish_reason::length: return "its length";
  case finish_reason::context_full: return "the end of the context";
  default: return "an end that is none of the policy's";
  }
}

} // namespace

void turn_check::add(const rollout_key& key, const recorded_rollout* what, std::uint64_t oldest) {
  auto& mine = rollouts_[key];
  mine = {what, std::vector<turn>(what->turns.size())};
  for (std::size_t t = 0; t < what->turns.size(); ++t) {
    const auto& versions = what->turns[t].what.versions;
    auto& parts = mine.turns[t].parts;
    for (std::size_t i = 0; i < versions.size(); ++i) {
      if (i == 0 || versions[i] != versions[i - 1]) parts.push_back({versions[i], i, i});
      ++parts.back().end;
    }
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].version >= oldest) {
        by_version_[parts[p].version][key].push_back({&mine, t, p});
        continue;
      }
      parts[p].tried = parts[p].equal = true;
      not_compared_ += parts[p].end - parts[p].begin;
    }
  }
}

const std::vector<turn_check::turn>* turn_check::of(const rollout_key& key) const {
  const auto found = rollouts_.find(key);
  return found == rollouts_.end() ? nullptr : &found->second.turns;
}

/// The rest of the turn from the part on, or exactly the part if another version went on after it.
generate_request turn_check::request_for(const place& at, const rollout_key& key) const {
  const auto& turn = at.in->what->turns[at.turn];
  const auto& part = at.in->turns[at.turn].parts[at.part];
  const auto& tokens = at.in->what->read->tokens();
  const bool last = part.end == turn.what.tokens.size();
  generate_request out;
  out.sequence = key.number();
  out.group = key.group_number();
  out.context.assign(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(turn.begin + part.begin));
  out.max_new_tokens =
      std::max(1, last ? turn.room - static_cast<int>(part.begin) : static_cast<int>(part.end - part.begin));
  out.stop = ctx_.rules.turn_ends();
  out.sampling.temperature = ctx_.config.rollout.temperature;
  out.seed = ctx_.seed_for("sampling");
  return out;
}

void turn_check::compare(const place& at, const generated& again) {
  const auto& recorded = at.in->what->turns[at.turn].what;
  auto& part = at.in->turns[at.turn].parts[at.part];
  part.tried = true;
  part.equal = false;
  const auto differ = [&part](std::size_t token, std::string found, std::string expected) {
    part.at = token;
    part.found = std::move(found);
    part.expected = std::move(expected);
  };
  for (auto i = part.begin; i < part.end; ++i) {
    const auto j = i - part.begin;
    if (j >= again.tokens.size())
      return differ(i, "token " + std::to_string(recorded.tokens[i]), "the end of the turn");
    if (again.tokens[j] != recorded.tokens[i])
      return differ(i, "token " + std::to_string(recorded.tokens[i]),
                    "token " + std::to_string(again.tokens[j]));
    if (std::bit_cast<std::uint32_t>(again.logprobs[j]) != std::bit_cast<std::uint32_t>(recorded.logprobs[i]))
      return differ(i, "logprob " + exact(recorded.logprobs[i]), "logprob " + exact(again.logprobs[j]));
  }
  const auto size = part.end - part.begin;
  const bool last = part.end == recorded.tokens.size();
  if (again.tokens.size() > size)
    return differ(part.end, "the end of the turn", "token " + std::to_string(again.tokens[size]));
  if (last && again.reason != recorded.reason)
    return differ(part.end, name_of(recorded.reason), name_of(again.reason));
  part.equal = true;
}

expected<void> turn_check::weights(weights_ptr what, std::uint64_t version, std::uint64_t after) {
  const auto mine = by_version_.find(version);
  if (mine == by_version_.end()) return {};
  if (!engine_) {
    auto made = ctx_.parts.make_engine();
    if (!made) return fail(made.error());
    engine_ = std::move(*made);
  }
  engine_->set_weights(std::move(what), version, kv_policy::recompute);
  std::map<std::uint64_t, std::pair<rollout_key, std::vector<place>>> open; // by sequence; the next one last
  // The next due part, or none: what the engine refuses cannot have been sampled.
  const auto submit = [&](const rollout_key& key, std::vector<place>& due) {
    for (; !due.empty(); due.pop_back()) {
      auto ok = engine_->submit(request_for(due.back(), key));
      if (ok) return true;
      auto& part = due.back().in->turns[due.back().turn].parts[due.back().part];
      part.tried = true;
      part.at = part.begin;
      part.found = "a context that the engine refuses: " + ok.error().message;
      part.expected = "one that it takes";
    }
    return false;
  };
  for (const auto& [key, places] : mine->second) {
    std::vector<place> due;
    for (auto at = places.rbegin(); at != places.rend(); ++at)
      if (!at->in->turns[at->turn].parts[at->part].equal && at->in->what->turns[at->turn].seq > after)
        due.push_back(*at);
    if (submit(key, due)) open.emplace(key.number(), std::pair{key, std::move(due)});
  }
  std::vector<generated> finished;
  for (bool more = !open.empty(); more;) {
    finished.clear();
    more = engine_->step(finished);
    for (const auto& again : finished) {
      auto& [key, due] = open.at(again.sequence);
      compare(due.back(), again);
      due.pop_back();
      if (submit(key, due))
        more = true;
      else
        engine_->forget(again.sequence);
    }
  }
  return {};
}

} // namespace troupe

#include "gpu/cpu_engine_core.hpp"
#include "runtime/base/random.hpp"

#include <algorithm>
#include <stdexcept>

namespace troupe {

namespace {

/// Context tokens whose logprobs are to be told.
int telling(const running_request& request) {
  return request.request.prompt_logprobs < 0 ? 0 : static_cast<int>(request.request.context.size()) - 1;
}

} // namespace

bool cpu_engine::step(std::vector<generated>& finished, std::vector<token_news>* news) {
  if (!model_) return false;
  for (auto& request : aborted_) finished.push_back(std::move(request));
  const bool had_aborted = !aborted_.empty();
  aborted_.clear();
  admit();
  if (running_.empty()) return had_aborted;
  plan_rows();
  compute();
  ++stats_.steps;
  for (auto& request : running_) {
    if (!request->drawn) continue;
    const auto reason = take_draw(*request);
    if (news && request->request.stream && reason != finish_reason::failed)
      news->push_back({request->request.sequence, request->out.tokens.size() - 1, request->drawn->id,
                       request->drawn->logprob, version_, std::move(request->likeliest)});
    if (reason) {
      request->out.reason = *reason;
      finished.push_back(std::move(request->out));
      retire(*request);
      request.reset();
    }
  }
  std::erase(running_, nullptr);
  return true;
}

/// Lets a request of a group take over the longest beginning of its context that a member has computed with
/// the current weights. True: a member that was admitted earlier is about to compute more of it; waiting is
/// cheaper than doing it twice.
bool cpu_engine::waits_for_group(running_request& request, std::size_t place) {
  auto& kv = request.sequence->kv;
  if (request.request.group == 0 || kv.stale() > 0 || request.told < telling(request)) return false;
  const int most = static_cast<int>(request.tokens.size()) - 1, have = kv.size();
  kept_sequence* lender = nullptr;
  int reach = have;
  for (auto* member : groups_.at(request.request.group)) {
    if (member == request.sequence || member->kv.stale() > 0) continue;
    const int n = std::min(member->kv.common_prefix(request.tokens), most);
    if (n > reach) lender = member, reach = n;
  }
  for (std::size_t i = 0; i < place; ++i) {
    const auto& other = *running_[i];
    if (other.request.group != request.request.group || other.missing() <= 1 ||
        other.sequence->kv.stale() > 0)
      continue;
    const auto n = static_cast<std::ptrdiff_t>(std::min(other.tokens.size(), request.tokens.size())) - 1;
    const auto end = std::mismatch(other.tokens.begin(), other.tokens.begin() + n, request.tokens.begin());
    if (end.first - other.tokens.begin() > reach) return true;
  }
  if (!lender) return false;
  if (!lender->generating) { // so that making room does not evict it
    idle_.erase({lender->last_used, lender->id});
    lender->last_used = ++uses_;
  }
  const bool taken = make_room(1) && kv.adopt(lender->kv, reach);
  if (!lender->generating) idle_.emplace(lender->last_used, lender->id);
  if (!taken) return false;
  stats_.reused_tokens += static_cast<std::uint64_t>(reach - have);
  if (request.out.tokens.empty()) request.out.cached_tokens += reach - have;
  return false;
}

/// Decides how many positions of each running sequence this step computes: one while it decodes, a chunk
/// while it prefills.
void cpu_engine::plan_rows() {
  int budget = limits_.prefill_chunk;
  for (std::size_t place = 0; place < running_.size(); ++place) {
    auto& request = *running_[place];
    request.rows = 0;
    request.drawn.reset();
    if (request.missing() > 1 && waits_for_group(request, place)) continue;
    const int missing = request.missing();
    request.rows = missing == 1 ? 1 : std::min(missing, budget);
    if (missing > 1) budget -= request.rows;
    if (request.rows == 0) continue;
    auto& kv = request.sequence->kv;
    const int end = kv.size() + request.rows;
    // reservations add up to the pool at most, so that evicting what is idle always makes enough room
    if (!make_room(kv.blocks_missing(end)) || !kv.reserve(end))
      throw std::logic_error("a reservation of KV blocks does not hold");
  }
}

/// Shares the rows out by sequence: threads never wait for each other inside a step, and no sum crosses
/// sequences.
void cpu_engine::compute() {
  int total = 0;
  for (auto& request : running_) total += request->rows;
  const int share = (total + workers_.size() - 1) / workers_.size();
  std::size_t parts = 0;
  for (auto& request : running_) {
    if (request->rows == 0) continue;
    if (parts == 0 || (static_cast<int>(parts_[parts - 1].rows.size()) >= share && parts < parts_.size())) {
      parts_[parts].rows.clear();
      parts_[parts++].requests.clear();
    }
    auto& work = parts_[parts - 1];
    auto& kv = request->sequence->kv;
    const auto last = static_cast<int>(request->tokens.size()) - 1;
    for (int i = 0; i < request->rows; ++i) {
      const int position = kv.size() + i;
      const auto at = static_cast<std::size_t>(position);
      const bool wanted = position == last || (position >= request->told && position < telling(*request));
      work.rows.push_back(
          {&kv, position, request->tokens[at], position > 0 ? request->tokens[at - 1] : -1, wanted});
      work.requests.push_back(request.get());
    }
  }
  workers_.run(static_cast<int>(parts), [this](int i) { compute_part(parts_[static_cast<std::size_t>(i)]); });
  for (auto& request : running_) {
    auto& kv = request->sequence->kv;
    for (int i = 0; i < request->rows; ++i) {
      if (kv.size() < static_cast<int>(request->request.context.size())) ++stats_.prefilled_tokens;
      kv.append(request->tokens[static_cast<std::size_t>(kv.size())]);
    }
  }
}

void cpu_engine::compute_part(part& work) const {
  model_->forward(work.rows.data(), static_cast<int>(work.rows.size()), rope_, work.space,
                  [&](int row, float* logits) {
                    const auto at = static_cast<std::size_t>(row);
                    take_logits(*work.requests[at], work.rows[at].position, logits, work.sampling);
                  });
}

/// What is made of the logits of one position: the logprob of the context token that follows, or a new token.
void cpu_engine::take_logits(running_request& request, int position, float* logits,
                             sampler_space& space) const {
  const auto& asked = request.request;
  if (position < telling(request)) {
    const auto next = static_cast<std::size_t>(position) + 1;
    if (position >= request.told) {
      request.out.prompt_logprobs[next] =
          logprob_of(asked.context[next], logits, config_.vocab_size, kernels_, space, asked.prompt_logprobs,
                     &request.out.prompt_top[next]);
      request.told = position + 1;
    }
    return;
  }
  if (asked.sampling.repetition_penalty != 1.0)
    penalise(logits, request.distinct, asked.sampling.repetition_penalty);
  const double uniform = uniform_at(asked.seed, asked.sequence, request.tokens.size());
  request.drawn = sample(logits, config_.vocab_size, asked.sampling, uniform, kernels_, space,
                         asked.top_logprobs, asked.top_logprobs < 0 ? nullptr : &request.likeliest);
}

std::optional<finish_reason> cpu_engine::take_draw(running_request& request) {
  const auto [id, logprob] = *request.drawn;
  if (id < 0) return finish_reason::failed;
  request.tokens.push_back(id);
  request.out.tokens.push_back(id);
  request.out.logprobs.push_back(logprob);
  request.out.versions.push_back(version_);
  if (request.request.top_logprobs >= 0) request.out.top.push_back(request.likeliest);
  see(request, id);
  ++stats_.decoded_tokens;
  const auto& stop = request.request.stop;
  if (static_cast<int>(request.out.tokens.size()) >= request.request.min_new_tokens &&
      std::find(stop.begin(), stop.end(), id) != stop.end())
    return finish_reason::stop;
  if (static_cast<int>(request.out.tokens.size()) == request.request.max_new_tokens)
    return finish_reason::length;
  if (static_cast<int>(request.tokens.size()) == config_.max_position_embeddings)
    return finish_reason::context_full;
  return std::nullopt;
}

} // namespace troupe

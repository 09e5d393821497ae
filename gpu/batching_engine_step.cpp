#include "gpu/batching_engine.hpp"
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

bool batching_engine::step(std::vector<generated>& finished, std::vector<token_news>* news) {
  if (!has_weights_) return false;
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

/// Lets a request take over the longest beginning of its context that another sequence has computed with the current weights: a member of
/// its group, or whoever has the same first blocks. True: a request before it, of its group or with the same first tokens, is about
/// to compute more of it; waiting is cheaper than doing it twice.
bool batching_engine::waits_for_kin(running_request& request, std::size_t place) {
  auto& kv = request.sequence->kv;
  if (kv.stale() > 0 || request.told < telling(request)) return false;
  const auto group = request.request.group;
  const int most = static_cast<int>(request.tokens.size()) - 1, have = kv.size();
  kept_sequence* lender = nullptr;
  int reach = have;
  const auto consider = [&](kept_sequence* member) {
    if (!member || member == request.sequence || member->kv.stale() > 0) return;
    const int n = std::min(member->kv.common_prefix(request.tokens), most);
    if (n > reach) lender = member, reach = n;
  };
  if (const auto found = groups_.find(group); group != 0 && found != groups_.end())
    for (auto* member : found->second) consider(member);
  consider(prefixes_.longest(request.chain.links(), static_cast<std::size_t>(reach) / lanes));

  constexpr std::size_t same = 4; // blocks: 64 tokens
  const auto& links = request.chain.links();
  for (std::size_t i = 0; i < place; ++i) {
    const auto& other = *running_[i];
    const auto& theirs = other.chain.links();
    const bool kin = (group != 0 && other.request.group == group) ||
                     (links.size() >= same && theirs.size() >= same && links[same - 1] == theirs[same - 1]);
    if (!kin || other.missing() <= 1 || other.sequence->kv.stale() > 0) continue;
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
  show_prefixes(*request.sequence);
  stats_.reused_tokens += static_cast<std::uint64_t>(reach - have);
  if (request.out.tokens.empty()) request.out.cached_tokens += reach - have;
  return false;
}

/// Makes the next rows of a request writable, at the cost of those after it. If it is the last itself, it is preempted.
void batching_engine::reserve_rows(running_request& request, std::size_t place) {
  auto& kv = request.sequence->kv;
  const int end = kv.size() + request.rows;
  const auto fits = [&] { return make_room(kv.blocks_missing(end)) && kv.reserve(end); };
  while (!fits() && !fits()) { // evictions may have ended a sharing
    if (running_.size() == 1) throw std::logic_error("a request that fits alone does not");
    const bool own = place + 1 == running_.size();
    preempt_last();
    if (own) return;
  }
}

/// Decides how many positions of each running sequence this step computes: one while it decodes, a chunk
/// while it prefills.
void batching_engine::plan_rows() {
  int budget = limits_.prefill_chunk;
  for (std::size_t place = 0; place < running_.size(); ++place) {
    auto& request = *running_[place];
    request.rows = 0;
    request.drawn.reset();
    if (request.missing() > 1 && waits_for_kin(request, place)) continue;
    const int missing = request.missing();
    request.rows = missing == 1 ? 1 : std::min(missing, budget);
    if (missing > 1) budget -= request.rows;
    if (request.rows > 0) reserve_rows(request, place);
  }
}

void batching_engine::compute() {
  rows_.clear(), requests_.clear();
  for (auto& request : running_) list_rows(*request);
  if (!rows_.empty())
    backend_->forward(rows_, [this](int row, float* logits, int worker) {
      const auto at = static_cast<std::size_t>(row);
      take_logits(*requests_[at], rows_[at].position, logits, spaces_[static_cast<std::size_t>(worker)]);
    });
  for (auto& request : running_) {
    auto& kv = request->sequence->kv;
    for (int i = 0; i < request->rows; ++i) {
      if (kv.size() < static_cast<int>(request->request.context.size())) ++stats_.prefilled_tokens;
      kv.append(request->tokens[static_cast<std::size_t>(kv.size())]);
    }
    request->told = std::max(request->told, std::min(kv.size(), telling(*request)));
    if (request->rows > 0) show_prefixes(*request->sequence);
  }
}

void batching_engine::list_rows(running_request& request) {
  const auto& kv = request.sequence->kv;
  const auto last = static_cast<int>(request.tokens.size()) - 1;
  for (int i = 0; i < request.rows; ++i) {
    const int position = kv.size() + i;
    const auto at = static_cast<std::size_t>(position);
    const bool wanted = position == last || (position >= request.told && position < telling(request));
    rows_.push_back({&kv, position, request.tokens[at], position > 0 ? request.tokens[at - 1] : -1, wanted});
    requests_.push_back(&request);
  }
}

/// What is made of the logits of one position: the logprob of the context token that follows, or a new token. Several threads may
/// take those of one request at once, each of other positions.
void batching_engine::take_logits(running_request& request, int position, float* logits,
                                  sampler_space& space) const {
  const auto& asked = request.request;
  if (position < telling(request)) {
    const auto next = static_cast<std::size_t>(position) + 1;
    request.out.prompt_logprobs[next] =
        logprob_of(asked.context[next], logits, config_.vocab_size, *sampling_, space, asked.prompt_logprobs,
                   &request.out.prompt_top[next]);
    return;
  }
  if (asked.sampling.repetition_penalty != 1.0)
    penalise(logits, request.distinct, asked.sampling.repetition_penalty);
  const double uniform =
      uniform_at(asked.seed, asked.draws_by_seed ? asked.draw_stream : asked.sequence, request.tokens.size());
  request.drawn = sample(logits, config_.vocab_size, asked.sampling, uniform, *sampling_, space,
                         asked.top_logprobs, asked.top_logprobs < 0 ? nullptr : &request.likeliest);
}

std::optional<finish_reason> batching_engine::take_draw(running_request& request) {
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

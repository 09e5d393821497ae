#include "gpu/batching_engine.hpp"

#include <algorithm>
#include <stdexcept>

namespace troupe {

namespace {

std::uint64_t blocks_for(std::size_t tokens) { return (tokens + lanes - 1) / lanes; }

} // namespace

batching_engine::batching_engine(const model_config& config, const engine_limits& limits,
                                 std::unique_ptr<model_backend> backend, const cpu_kernels& sampling)
    : config_(config),
      limits_(limits),
      backend_(std::move(backend)),
      sampling_(&sampling),
      pool_(*backend_, std::max<std::int64_t>(1, limits.max_kv_tokens / lanes)),
      spaces_(static_cast<std::size_t>(backend_->workers())),
      waiting_(limits.most_overtaken) {}

void batching_engine::set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) {
  if (!(weights->config == config_))
    throw std::invalid_argument(
        "weights of another model config than the engine's: " + json::dump(to_json(weights->config)) +
        ", expected " + json::dump(to_json(config_)));
  backend_->set_weights(weights);
  has_weights_ = true;
  version_ = version;
  if (policy == kv_policy::abort) {
    const auto end = [this](running_request& request) {
      request.out.sequence = request.request.sequence;
      request.out.reason = finish_reason::aborted;
      aborted_.push_back(std::move(request.out));
    };
    for (auto& request : running_) end(*request), retire(*request);
    running_.clear();
    while (!waiting_.empty()) end(*waiting_.pop());
    busy_.clear();
  }
  if (policy != kv_policy::keep) {
    while (!idle_.empty()) erase(*kept_.at(idle_.begin()->second));
    for (auto& request : running_) {
      cut(*request->sequence, 0);
      if (request->out.tokens.empty()) request->out.cached_tokens = 0;
    }
  } else {
    prefixes_.clear();
    for (auto& [id, sequence] : kept_) sequence->kv.mark_stale(), sequence->chain.cut(0);
  }
}

expected<void> batching_engine::check(const generate_request& request) const {
  const auto size = request.context.size();
  if (size == 0) return fail(errc::invalid, "the context is empty, expected at least one token");
  for (token t : request.context)
    if (t < 0 || t >= config_.vocab_size)
      return fail(errc::invalid, "the context holds token " + std::to_string(t) + ", expected 0 to " +
                                     std::to_string(config_.vocab_size - 1));
  if (request.max_new_tokens < 1)
    return fail(errc::invalid,
                "max_new_tokens is " + std::to_string(request.max_new_tokens) + ", expected at least 1");
  const auto& s = request.sampling;
  if (!(s.temperature >= 0) || !(s.temperature < 1e6))
    return fail(errc::invalid,
                "temperature is " + std::to_string(s.temperature) + ", expected 0 (greedy) or more");
  if (!(s.top_p > 0) || s.top_p > 1)
    return fail(errc::invalid,
                "top_p is " + std::to_string(s.top_p) + ", expected more than 0 and at most 1");
  if (s.top_k < 0)
    return fail(errc::invalid, "top_k is " + std::to_string(s.top_k) + ", expected 0 (off) or more");
  if (!(s.min_p >= 0) || !(s.min_p < 1))
    return fail(errc::invalid,
                "min_p is " + std::to_string(s.min_p) + ", expected 0 (off) or more and less than 1");
  if (!(s.repetition_penalty > 0) || !(s.repetition_penalty < 1e6))
    return fail(errc::invalid, "repetition_penalty is " + std::to_string(s.repetition_penalty) +
                                   ", expected more than 0 (1: off)");
  if (request.min_new_tokens < 0 || request.min_new_tokens > request.max_new_tokens)
    return fail(errc::invalid, "min_new_tokens is " + std::to_string(request.min_new_tokens) +
                                   ", expected 0 to max_new_tokens, which is " +
                                   std::to_string(request.max_new_tokens));
  for (const auto& [name, count] : {std::pair{"top_logprobs", request.top_logprobs},
                                    std::pair{"prompt_logprobs", request.prompt_logprobs}})
    if (count < -1)
      return fail(errc::invalid,
                  std::string(name) + " is " + std::to_string(count) + ", expected -1 (none) or more");
  if (size >= static_cast<std::size_t>(config_.max_position_embeddings))
    return fail(errc::exhausted, "the context has " + std::to_string(size) + " tokens and the model takes " +
                                     std::to_string(config_.max_position_embeddings) +
                                     ", expected room for one more");
  if (blocks_for(longest(request)) > static_cast<std::uint64_t>(pool_.limit()))
    return fail(errc::exhausted, "the request may need " + std::to_string(longest(request)) +
                                     " tokens of KV cache, there are " +
                                     std::to_string(pool_.limit() * lanes));
  if (busy_.contains(request.sequence))
    return fail(errc::conflict, "sequence " + std::to_string(request.sequence) + " is already generating");
  return {};
}

std::size_t batching_engine::longest(const generate_request& request) const {
  return std::min(request.context.size() + static_cast<std::size_t>(request.max_new_tokens),
                  static_cast<std::size_t>(config_.max_position_embeddings));
}

expected<void> batching_engine::submit(generate_request request) {
  if (auto fine = check(request); !fine) return fine;
  busy_.insert(request.sequence);
  auto made = std::make_unique<running_request>();
  made->request = std::move(request);
  made->chain = prefix_chain(made->request.cache_salt);
  made->number = ++submitted_;
  made->rank = std::max(made->request.priority, running_request::protected_rank + 1);
  waiting_.push(std::move(made));
  return {};
}

bool batching_engine::cancel(std::uint64_t sequence) {
  if (busy_.erase(sequence) == 0) return false;
  if (waiting_.take(sequence)) return true;
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [&](auto& r) { return r->request.sequence == sequence; });
  retire(**found);
  running_.erase(found);
  return true;
}

void batching_engine::forget(std::uint64_t sequence) {
  if (const auto found = kept_.find(sequence); found != kept_.end()) {
    if (found->second->generating)
      found->second->forget_after = true;
    else
      erase(*found->second);
  }
  if (const auto found = groups_.find(sequence); found != groups_.end() && sequence != 0) {
    const auto members = found->second; // erase changes the list
    for (auto* member : members)
      if (!member->generating) erase(*member);
  }
}

engine_stats batching_engine::stats() const {
  auto out = stats_;
  out.active = static_cast<int>(running_.size());
  out.waiting = static_cast<int>(waiting_.size());
  out.kv_tokens = pool_.used() * lanes;
  return out;
}

void batching_engine::erase(kept_sequence& sequence) {
  for (auto link : sequence.chain.links()) prefixes_.remove(link, &sequence);
  idle_.erase({sequence.last_used, sequence.id});
  if (const auto group = groups_.find(sequence.group); group != groups_.end()) {
    std::erase(group->second, &sequence);
    if (group->second.empty()) groups_.erase(group);
  }
  kept_.erase(sequence.id);
}

/// Evicts idle sequences, the least recently used first, until so many blocks are free.
bool batching_engine::make_room(std::int64_t blocks) {
  while (pool_.limit() - pool_.used() < blocks) {
    if (idle_.empty()) return false;
    auto& oldest = *kept_.at(idle_.begin()->second);
    stats_.evicted_tokens += static_cast<std::uint64_t>(oldest.kv.size());
    erase(oldest);
  }
  return true;
}

kept_sequence& batching_engine::sequence_for(const generate_request& request) {
  auto found = kept_.find(request.sequence);
  if (found != kept_.end() && found->second->group != request.group) { // the caller moved it to another group
    erase(*found->second);
    found = kept_.end();
  }
  if (found != kept_.end()) {
    idle_.erase({found->second->last_used, request.sequence});
    return *found->second;
  }
  auto& made = kept_[request.sequence];
  made = std::make_unique<kept_sequence>(request.sequence, request.group, pool_);
  made->chain = prefix_chain(request.cache_salt);
  if (request.group != 0) groups_[request.group].push_back(made.get());
  return *made;
}

/// Notes a token of the context or a new one, for the penalty of repetitions.
void batching_engine::see(running_request& request, token t) const {
  if (request.request.sampling.repetition_penalty == 1.0) return;
  if (request.seen.empty()) request.seen.resize(static_cast<std::size_t>(config_.vocab_size));
  if (request.seen[static_cast<std::size_t>(t)]) return;
  request.seen[static_cast<std::size_t>(t)] = true;
  request.distinct.push_back(t);
}

/// Blocks that running requests do not hold can all be had: they are free, or of idle sequences. One more for each that runs is left, so
/// that what starts is not preempted at once.
bool batching_engine::has_room_for(const running_request& request) const {
  if (running_.empty()) return true; // submit has seen to that
  double held = 0;                   // a block that several share counts once
  for (auto& other : running_) held += other->sequence->kv.blocks_held();
  const auto tokens = std::max(request.tokens.size(), request.request.context.size()) + 1;
  const auto need = blocks_for(tokens) + running_.size();
  return held + static_cast<double>(need) <= static_cast<double>(pool_.limit());
}

/// Moves waiting requests into the batch, in order. One of a better rank takes the place of the last that runs.
void batching_engine::admit() {
  while (!waiting_.empty()) {
    auto& next = waiting_.next();
    if (static_cast<int>(running_.size()) < limits_.max_sequences && has_room_for(next)) {
      start(waiting_.pop());
    } else if (!running_.empty() && next.rank < running_.back()->rank) {
      preempt_last();
    } else {
      return;
    }
  }
}

void batching_engine::start(std::unique_ptr<running_request> request) {
  auto& r = *request;
  r.sequence = &sequence_for(r.request);
  r.sequence->generating = true;
  if (r.tokens.empty()) { // the first time
    r.tokens = r.request.context;
    for (token t : r.tokens) see(r, t);
    r.out.sequence = r.request.sequence;
    if (r.request.prompt_logprobs >= 0) {
      cut(*r.sequence, 0); // logits of all positions are wanted
      r.out.prompt_logprobs.assign(r.tokens.size(), 0.0f);
      r.out.prompt_top.resize(r.tokens.size());
    }
  }
  r.chain.follow(r.tokens, r.tokens.size());
  // the last token is computed in any case: its logits are what the turn begins with
  const int reused = std::min(r.sequence->kv.common_prefix(r.tokens), static_cast<int>(r.tokens.size()) - 1);
  cut(*r.sequence, reused);
  if (r.out.tokens.empty()) r.out.cached_tokens = reused;
  stats_.reused_tokens += static_cast<std::uint64_t>(reused);
  const auto after =
      std::find_if(running_.begin(), running_.end(), [&](auto& other) { return r.before(*other); });
  running_.insert(after, std::move(request));
}

/// The last in order goes back to those that wait. Its KV stays as an idle sequence's, until it is needed.
void batching_engine::preempt_last() {
  auto request = std::move(running_.back());
  running_.pop_back();
  release(*request->sequence);
  request->sequence = nullptr;
  request->rows = 0;
  request->drawn.reset();
  ++stats_.preemptions;
  if (++request->preempted >= limits_.most_preempted) request->rank = running_request::protected_rank;
  waiting_.push(std::move(request));
}

/// Idle from now on.
void batching_engine::release(kept_sequence& sequence) {
  sequence.generating = false;
  sequence.last_used = ++uses_;
  idle_.emplace(sequence.last_used, sequence.id);
  if (sequence.forget_after) erase(sequence);
}

void batching_engine::retire(running_request& request) {
  busy_.erase(request.request.sequence);
  release(*request.sequence);
}

/// Drops keys and values from a position on, and what others could find of them.
void batching_engine::cut(kept_sequence& sequence, int positions) {
  const auto& links = sequence.chain.links();
  for (auto i = static_cast<std::size_t>(positions) / lanes; i < links.size(); ++i)
    prefixes_.remove(links[i], &sequence);
  sequence.chain.cut(static_cast<std::size_t>(positions) / lanes);
  sequence.kv.truncate(positions);
}

/// Lets others find what is computed by now.
void batching_engine::show_prefixes(kept_sequence& sequence) {
  if (sequence.kv.stale() > 0) return;
  const auto known = sequence.chain.links().size();
  sequence.chain.follow(sequence.kv.tokens(), sequence.kv.tokens().size());
  for (auto i = known; i < sequence.chain.links().size(); ++i)
    prefixes_.add(sequence.chain.links()[i], &sequence);
}

} // namespace troupe

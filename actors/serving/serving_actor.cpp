#include "actors/serving/serving_actor.hpp"

#include "runtime/log.hpp"
#include <algorithm>
#include <cmath>

namespace troupe::serving {

namespace {

constexpr auto look = std::chrono::milliseconds(200); ///< at deadlines
constexpr std::uint64_t choices_of_one = 256;         ///< sequences are numbered by request and choice

std::uint64_t sequence_of(std::uint64_t number, std::size_t index) { return number * choices_of_one + index; }

std::string event(const json::object& data) { return http::server_sent_event("", json::dump(data)); }

} // namespace

serving_actor::open_request::open_request(const serving_context& ctx, const serve_request& from)
    : what(from.what),
      number(from.number),
      answer(from.answer),
      writer(ctx.model, *what, static_cast<std::int64_t>(seconds(ctx.run->time->wall()))) {
  for (std::size_t prompt = 0; prompt < what->prompts.size(); ++prompt)
    for (int i = 0; i < what->n; ++i)
      choices.emplace_back(ctx.model, *what, static_cast<int>(prompt), static_cast<int>(choices.size()));
  lives.resize(choices.size());
  arrived = ctx.run->time->now();
  due = arrived + ctx.options.request_deadline;
}

bool serving_actor::open_request::over() const {
  return std::all_of(choices.begin(), choices.end(), [](const choice& c) { return c.done(); }) &&
         std::none_of(lives.begin(), lives.end(), [](const life& l) { return l.asked; });
}

serving_actor::serving_actor(self_ptr self, serving_ptr ctx)
    : self_(self),
      ctx_(std::move(ctx)),
      metrics_(*ctx_->run->metrics, ctx_->rules.served_names.front()),
      paused_(ctx_->paused->load()) {
  tell(self_, ctx_->run->names->find(troupe::names::engine), cancel_listened{});
  tell(self_, ctx_->run->names->find(troupe::names::engine), pause_engine{paused_});
  send_later(self_, look, tick{});
}

behavior serving_actor::make_behavior() {
  return {
      [this](const serve_request& from) { admit(from); },
      [this](tokens_sampled& news) { hear(news); },
      [this](const client_gone& gone) {
        if (auto request = find(gone.number)) drop(request);
      },
      [this](const pause_serving& order) { pause(order); },
      [this](const resume_serving& order) { resume(order.answer); },
      [this](const serving_status_request&) {
        return serving_status{open_.size(), held_.size(), paused_,
                              static_cast<bool>(ctx_->run->names->find(troupe::names::engine))};
      },
      [this](const tick&) {
        check_deadlines();
        send_later(self_, look, tick{});
      },
      resume_handler(),
  };
}

serving_actor::request_ptr serving_actor::find(std::uint64_t number) const {
  const auto found = open_.find(number);
  return found == open_.end() ? nullptr : found->second;
}

void serving_actor::forget(const open_request& request) {
  due_.erase({request.due, request.number});
  open_.erase(request.number);
}

// -- a request's beginning

void serving_actor::admit(const serve_request& from) {
  if (open_.size() >= static_cast<std::size_t>(ctx_->options.max_queue)) {
    metrics_.refused(429);
    from.answer.send(api_error{429,
                               "the server has " + std::to_string(open_.size()) +
                                   " requests open, as many as it takes; try again later",
                               {},
                               "queue_full"}
                         .response());
    return;
  }
  auto request = std::make_shared<open_request>(*ctx_, from);
  open_.emplace(request->number, request);
  due_.emplace(request->due, request->number);
  from.answer.on_gone([me = actor_ref(self_), number = from.number] { tell(me, client_gone{number}); });
  for (std::size_t i = 0; i < request->choices.size(); ++i) submit(request, i);
}

void serving_actor::submit(const request_ptr& request, std::size_t index) {
  if (paused_)
    held_.emplace_back(request->number, index);
  else
    ask_engine(request, index);
}

void serving_actor::ask_engine(const request_ptr& request, std::size_t index) {
  const auto& what = *request->what;
  auto& one = request->choices[index];
  auto& life = request->lives[index];
  if (one.done() || !find(request->number)) return;
  auto ask_for = what.ask;
  ask_for.sequence = sequence_of(request->number, index);
  ask_for.group = what.n > 1 ? sequence_of(request->number, static_cast<std::size_t>(one.prompt)) : 0;
  if (!what.cache_salt.empty()) ask_for.cache_salt = derive_seed(1, what.cache_salt);
  ask_for.context = what.prompts[static_cast<std::size_t>(one.prompt)];
  ask_for.context.insert(ask_for.context.end(), one.tokens.begin(), one.tokens.end());
  ask_for.max_new_tokens = one.left();
  ask_for.min_new_tokens = std::max(0, what.ask.min_new_tokens - static_cast<int>(one.tokens.size()));
  if (!one.prompt_logprobs.empty()) ask_for.prompt_logprobs = -1;
  const auto seed = what.any_seed ? derive_seed(ctx_->seed, request->number) : what.ask.seed;
  ask_for.seed = what.own_stream ? seed : derive_seed(seed, static_cast<std::uint64_t>(one.index));
  ask_for.draws_by_seed = true;
  life.base = one.tokens.size();
  life.asked = true;
  ++running_;
  const auto now = ctx_->run->time->now();
  if (request->given == duration(0)) request->given = now;
  life.engine = ctx_->run->names->find(troupe::names::engine);
  ask(
      self_, life.engine, request->due - now + std::chrono::seconds(5),
      generate{std::move(ask_for), 0, actor_ref(self_)},
      [this, request, index](const generated& got) { took(request, index, got); },
      [this, request, index](const error& why) { lost(request, index, why); });
}

// -- what the engine says

void serving_actor::note_token(open_request& request, std::size_t index) {
  const auto now = ctx_->run->time->now();
  auto& life = request.lives[index];
  if (request.first == duration(0)) {
    request.first = now;
    metrics_.first_token(now - request.arrived);
  }
  if (life.last != duration(0)) metrics_.next_token(now - life.last);
  life.last = now;
}

void serving_actor::hear(tokens_sampled& news) {
  std::set<std::uint64_t> touched; // in the order of their arrival
  for (auto& one : news.news) {
    const auto number = one.sequence / choices_of_one;
    const auto index = static_cast<std::size_t>(one.sequence % choices_of_one);
    const auto request = find(number);
    if (!request || index >= request->choices.size()) continue;
    auto& c = request->choices[index];
    if (c.done() || request->lives[index].base + one.index != c.tokens.size()) continue; // of an earlier life
    c.take(one.id, one.logprob, one.version, std::move(one.top));
    note_token(*request, index);
    if (c.finish_reason == "stop" && c.stop_reason.is_string()) cancel_choice(*request, index);
    touched.insert(number);
  }
  for (auto number : touched)
    if (auto request = find(number)) write(request);
}

void serving_actor::took(const request_ptr& request, std::size_t index, const generated& got) {
  auto& life = request->lives[index];
  auto& one = request->choices[index];
  life.asked = false;
  --running_;
  if (find(request->number)) {
    if (life.base == 0)
      one.cached_tokens =
          std::min(got.cached_tokens,
                   static_cast<int>(request->what->prompts[static_cast<std::size_t>(one.prompt)].size()));
    if (!got.prompt_logprobs.empty() && one.prompt_logprobs.empty()) {
      one.prompt_logprobs = got.prompt_logprobs;
      one.prompt_top = got.prompt_top;
    }
    for (auto i = one.tokens.size() - life.base; i < got.tokens.size() && !one.done(); ++i) {
      one.take(got.tokens[i], got.logprobs[i], got.versions[i],
               i < got.top.size() ? got.top[i] : std::vector<ranked_token>{});
      note_token(*request, index);
    }
    one.end(got.reason == finish_reason::stop ? "stop" : "length");
    write(request);
  }
  pause_if_idle();
}

void serving_actor::lost(const request_ptr& request, std::size_t index, const error& why) {
  auto& life = request->lives[index];
  auto& one = request->choices[index];
  const bool asked = std::exchange(life.asked, false);
  if (asked) --running_;
  if (find(request->number)) {
    if (one.done()) { // cancelled after a stop string, or its end was told before the engine's
      write(request);
    } else if (why.code != errc::unavailable) {
      fail_request(request, to_api(why));
    } else if (note_end(life) && life.ends > ctx_->options.most_lives) {
      fail_request(request, {503,
                             "the engine ended " + std::to_string(life.ends) + " times under this request",
                             {},
                             "engine_failed"});
    } else { // between two lives: the next one goes on
      send_later(self_, std::chrono::milliseconds(50), resume_later{[this, request, index] {
                   if (find(request->number) && !request->lives[index].asked) submit(request, index);
                 }});
    }
  }
  pause_if_idle();
}

/// Each end counts once, however often it is run into before the next life has its name.
bool serving_actor::note_end(open_request::life& life) const {
  if (!life.engine || life.engine == life.ended) return false;
  life.ended = life.engine;
  ++life.ends;
  metrics_.resumed();
  return true;
}

void serving_actor::cancel_choice(open_request& request, std::size_t index) {
  // logprobs of the prompt come with the engine's answer alone: then it goes on to its end
  if (!request.lives[index].asked ||
      (request.what->ask.prompt_logprobs >= 0 && request.choices[index].prompt_logprobs.empty()))
    return;
  tell(self_, ctx_->run->names->find(troupe::names::engine),
       cancel_generation{sequence_of(request.number, index)});
}

// -- a request's answer

void serving_actor::write(const request_ptr& request) {
  if (request->what->stream) {
    std::string text;
    for (auto& one : request->choices)
      if (auto data = request->writer.chunk(one, request->choices)) text += event(*data);
    if (!text.empty()) {
      if (!std::exchange(request->streaming, true))
        request->stream =
            request->answer.start({200,
                                   std::move(text),
                                   "text/event-stream; charset=utf-8",
                                   {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}});
      else if (!request->stream.write(std::move(text)))
        return drop(request);
    }
  }
  if (request->over()) finish(request);
}

void serving_actor::finish(const request_ptr& request) {
  const auto now = ctx_->run->time->now();
  request_figures figures;
  for (const auto& tokens : request->what->prompts) figures.prompt_tokens += tokens.size();
  for (const auto& one : request->choices) {
    figures.generated_tokens += one.tokens.size();
    figures.cached_tokens += one.cached_tokens;
    figures.reasons.push_back(one.finish_reason);
  }
  figures.n = request->what->n;
  figures.max_tokens = request->what->ask.max_new_tokens;
  figures.queued = request->given - request->arrived;
  figures.decode = now - request->first;
  figures.all = now - request->arrived;
  metrics_.over(figures);
  forget(*request);
  if (!request->what->stream) {
    request->answer.send(http::json_response(200, request->writer.whole(request->choices)));
    return;
  }
  std::string text;
  if (request->what->usage) text += event(request->writer.usage_chunk(request->choices));
  text += http::server_sent_event("", "[DONE]");
  request->stream.write(std::move(text));
  request->stream.finish();
}

void serving_actor::fail_request(request_ptr request, const api_error& why) {
  metrics_.refused(why.status);
  for (std::size_t i = 0; i < request->choices.size(); ++i)
    if (request->lives[i].asked)
      tell(self_, ctx_->run->names->find(troupe::names::engine),
           cancel_generation{sequence_of(request->number, i)});
  forget(*request);
  if (!request->streaming) {
    request->answer.send(why.response());
    return;
  }
  if (request->stream.write(event(why.body()) + http::server_sent_event("", "[DONE]")))
    return request->stream.finish();
  request->stream = {}; // no room for it: cut off, so that the client sees that it is not whole
  request->answer = {};
}

void serving_actor::drop(const request_ptr& request) {
  if (request->streaming && request->stream.open())
    fail_request(request, {408,
                           "the client reads too slowly: more than " +
                               std::to_string(ctx_->options.stream_limit) + " bytes wait for it",
                           {},
                           "slow_client"});
  else
    fail_request(request, {499, "the client is gone", {}, {}}); // nobody reads it
}

// -- deadlines, pauses

void serving_actor::check_deadlines() {
  const auto now = ctx_->run->time->now();
  while (!due_.empty() && due_.begin()->first <= now) {
    const auto limit = static_cast<long long>(std::ceil(seconds(ctx_->options.request_deadline)));
    fail_request(find(due_.begin()->second),
                 {504, "not done within " + std::to_string(limit) + " s", {}, "timeout"});
  }
  std::erase_if(held_, [this](const auto& one) { return !open_.contains(one.first); });
}

void serving_actor::pause(const pause_serving& order) {
  paused_ = true;
  ctx_->paused->store(true);
  using mode = pause_serving::mode;
  const auto engine = ctx_->run->names->find(troupe::names::engine);
  if (order.how == mode::abort) {
    const auto all = open_;
    for (const auto& [number, request] : all) {
      for (std::size_t i = 0; i < request->choices.size(); ++i) {
        if (request->lives[i].asked) tell(self_, engine, cancel_generation{sequence_of(number, i)});
        request->choices[i].end("abort");
      }
      write(request);
    }
    held_.clear();
  }
  if (order.how == mode::wait && running_ > 0) {
    idle_wanted_ = order.answer;
    return;
  }
  ask(
      self_, engine, std::chrono::seconds(30), pause_engine{true},
      [answer = order.answer](const done&) {
        answer.send(http::json_response(200, json::object{{"status", "paused"}}));
      },
      [answer = order.answer](const error& why) { answer.send(to_api(why).response()); });
}

void serving_actor::pause_if_idle() {
  if (!idle_wanted_ || running_ > 0) return;
  const auto answer = *std::exchange(idle_wanted_, std::nullopt);
  if (paused_) pause({pause_serving::mode::keep, answer});
}

void serving_actor::resume(const http::responder& answer) {
  paused_ = false;
  ctx_->paused->store(false);
  if (auto waiter = std::exchange(idle_wanted_, std::nullopt))
    waiter->send(api_error{409, "resumed before everything had ended", {}, {}}.response());
  tell(self_, ctx_->run->names->find(troupe::names::engine), pause_engine{false});
  for (auto [number, index] : std::exchange(held_, {}))
    if (auto request = find(number)) ask_engine(request, index);
  answer.send(http::json_response(200, json::object{{"status", "resumed"}}));
}

} // namespace troupe::serving

#pragma once

#include "actors/context.hpp"
#include "runtime/base/buggify.hpp"
#include <utility>

namespace troupe {

/// Runs in the actor that asked for it, after a pause. Every actor that uses ask_named has `resume_handler()` in its behavior.
struct resume_later {
  std::function<void()> run;
};
inline auto resume_handler() {
  return [](const resume_later& later) { later.run(); };
}

/// Says once in a while that the run waits for disk space.
void note_disk_full(const run_context& ctx);

/// Whether a message to whoever holds this name may be lost on its way: to another node, or in a run with faults.
bool may_be_lost(const run_context& ctx, const std::string& name);
/// How long to wait for an answer until the question, asked `tries` times before, is sent again: each time longer (a slow peer is not
/// a lost message).
duration pause_before_again(const run_context& ctx, const std::string& name, int tries);

/// How long until a name is looked up again that nobody held `times` times before: most are restarted at once.
constexpr duration pause_while_away(int times) {
  return std::chrono::milliseconds(times < 4 ? 2 << times : 20);
}

namespace detail {
/// What a request's callback takes.
template <class F>
struct callback_arguments : callback_arguments<decltype(&F::operator())> {};
template <class C, class R, class... Ts>
struct callback_arguments<R (C::*)(Ts...) const> {
  template <template <class...> class To, class... More>
  using give = To<More..., Ts...>;
};

/// All tries of one request share it.
template <class Message, class Ok, class Bad>
struct repeated_request : std::enable_shared_from_this<repeated_request<Message, Ok, Bad>> {
  self_ptr self;
  context_ptr ctx;
  std::string name;
  std::function<actor_ref()> one; ///< asked whatever happens to the name; empty: whoever holds it
  duration end;
  Message message;
  Ok ok;
  Bad bad;
  bool settled = false;
  int tries = 0;
  int away = 0; ///< tries in a row that met nobody

  repeated_request(self_ptr s, context_ptr c, std::string n, std::function<actor_ref()> o, duration e,
                   Message m, Ok good, Bad b)
      : self(s),
        ctx(std::move(c)),
        name(std::move(n)),
        one(std::move(o)),
        end(e),
        message(std::move(m)),
        ok(std::move(good)),
        bad(std::move(b)) {}

  template <class It, class... Ts>
  struct first_answer {
    std::shared_ptr<It> it;
    void operator()(Ts... values) const {
      if (!std::exchange(it->settled, true)) it->ok(values...);
    }
  };

  void go() {
    if (settled) return;
    auto me = this->shared_from_this();
    const auto left = end - duration(self->clock().now().time_since_epoch());
    if (left <= duration(0))
      return give_up_on({errc::timeout, "no answer from " + name + " before the deadline"});
    if (buggify<"ask: the peer is gone for the moment">()) return later(std::chrono::milliseconds(20));
    const auto number = ++tries;
    duration pause{0};
    std::function<void()> again;
    if (may_be_lost(*ctx, name) && !planted("not_repeated")) {
      pause = pause_before_again(*ctx, name, number - 1);
      again = [me] { me->go(); };
    }
    using answer = typename callback_arguments<Ok>::template give<first_answer, repeated_request>;
    ask(
        self, one ? one() : ctx->names->find(name), left, message, answer{me},
        [me, number](error why) { me->failed(number, std::move(why)); }, pause, std::move(again));
  }
  void failed(int number, error why) {
    if (settled) return;
    const bool newest = number == tries; // an older try's end is no news while a younger one is open
    if (why.code == errc::disk_full) {
      if (!newest) return;
      note_disk_full(*ctx);
      constexpr auto space = std::chrono::milliseconds(500);
      end += space;
      return later(space);
    }
    if (why.code == errc::unavailable && !one) return newest ? later(pause_while_away(away++)) : void();
    if (why.code == errc::timeout && may_be_lost(*ctx, name) &&
        duration(self->clock().now().time_since_epoch()) < end)
      return; // a time-out of the peer's own: this is sent again anyway
    give_up_on(std::move(why));
  }
  void later(duration in) {
    send_later(self, in, resume_later{[me = this->shared_from_this()] { me->go(); }});
  }
  void give_up_on(error why) {
    if (!std::exchange(settled, true)) bad(std::move(why));
  }
};

template <class Message, class Ok, class Bad>
void ask_repeatedly(self_ptr self, const context_ptr& ctx, const std::string& name,
                    std::function<actor_ref()> one, duration patience, Message message, Ok ok, Bad bad) {
  const auto start = duration(self->clock().now().time_since_epoch());
  std::make_shared<repeated_request<Message, Ok, Bad>>(self, ctx, name, std::move(one), start + patience,
                                                       std::move(message), std::move(ok), std::move(bad))
      ->go();
}
} // namespace detail

/// A request to whoever holds a name. A dead holder is not the end: the name is looked up again after 2, 4, 8 and 16 ms and then
/// every 20 ms until `patience` is over, so that a restart of the peer is only a delay. A message lost on its way is not the end either: where that may be, the request is
/// sent again while there is no answer; the first answer counts. Nor is a full disk: the request is repeated, however long,
/// until there is space, and the run says so. Any other error goes to `bad` at once. The message must be safe to repeat
/// (all of ours are: idempotent by key, by step or by number).
template <class Message, class Ok, class Bad>
void ask_named(self_ptr self, const context_ptr& ctx, const std::string& name, duration patience,
               Message message, Ok ok, Bad bad) {
  detail::ask_repeatedly(self, ctx, name, {}, patience, std::move(message), std::move(ok), std::move(bad));
}

/// The same to one life, whatever it is called: its end is an end of the asking, too.
template <class Message, class Ok, class Bad>
void ask_life(self_ptr self, const context_ptr& ctx, const std::string& name, const actor_ref& whom,
              duration patience, Message message, Ok ok, Bad bad) {
  detail::ask_repeatedly(
      self, ctx, name, [whom] { return whom; }, patience, std::move(message), std::move(ok), std::move(bad));
}

/// News that must arrive: a tell to whoever holds the name; where it may be lost again and again, until its handler (which ends with
/// `noted`) has taken it. Then `then` runs. `bad`: nobody was there for so long, or it is fenced.
template <class Message, class Then, class Bad>
void tell_surely(self_ptr self, const context_ptr& ctx, const std::string& name, duration patience,
                 Message message, Then then, Bad bad) {
  if (!may_be_lost(*ctx, name) || planted("news_told_once")) {
    tell(self, ctx->names->find(name), std::move(message));
    return then();
  }
  ask_named(
      self, ctx, name, patience, std::move(message), [then](const done&) { then(); }, bad);
}

/// Ends the calling actor with this error as its reason: its supervisor decides what follows.
[[noreturn]] inline void give_up(const std::string& doing, const error& why) {
  throw std::runtime_error(doing + ": " + to_string(why));
}

/// News whose telling ends the calling actor when nobody takes it for a minute: its next life reads the books and tells what is due.
template <class Message>
void tell_surely(self_ptr self, const context_ptr& ctx, const std::string& name, Message message) {
  tell_surely(
      self, ctx, name, std::chrono::seconds(60), std::move(message), [] {},
      [name](const error& why) { give_up("telling " + name, why); });
}
/// The same to one life; its end is an end of the telling, too. Then `then` runs either way.
template <class Message, class Then>
void tell_life(self_ptr self, const context_ptr& ctx, const std::string& name, const actor_ref& whom,
               Message message, Then then) {
  if (!may_be_lost(*ctx, name)) {
    tell(self, whom, std::move(message));
    return then();
  }
  ask_life(
      self, ctx, name, whom, std::chrono::seconds(60), std::move(message), [then](const done&) { then(); },
      [then](const error&) { then(); });
}

} // namespace troupe

TROUPE_LOCAL_TYPE(troupe::resume_later)

#pragma once

#include "actors/context.hpp"
#include "runtime/base/buggify.hpp"

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

/// What a callback of one argument takes.
template <class Callback>
struct taken_by : taken_by<decltype(&Callback::operator())> {};
template <class Callback, class Taken>
struct taken_by<void (Callback::*)(Taken) const> {
  using type = std::decay_t<Taken>;
};

/// How long to wait for the answer to a question that was asked `tries` times before: where the name is another node's, what was lost
/// on the way is asked again, each time with twice the patience (a slow network is not a lost message).
duration wait_for_answer(const run_context& ctx, const std::string& name, duration left, int tries);

/// A request to whoever holds a name. A dead holder is not the end: the name is looked up again every 20 ms until `patience` is
/// over, so that a restart of the peer is only a delay; what is lost between two nodes is sent again. A full disk is not the end either: the request is repeated, however long,
/// until there is space, and the run says so. Any other error goes to `bad` at once. The message must be safe to repeat
/// (all of ours are: idempotent by key).
template <class Message, class Ok, class Bad>
void ask_named(self_ptr self, const context_ptr& ctx, const std::string& name, duration patience,
               Message message, Ok ok, Bad bad) {
  const auto start = self->clock().now().time_since_epoch();
  // One copy of the callbacks, shared by all tries.
  struct attempt : std::enable_shared_from_this<attempt> {
    self_ptr self;
    context_ptr ctx;
    std::string name;
    duration end;
    int tries = 0;
    Message message;
    Ok ok;
    Bad bad;
    attempt(self_ptr s, context_ptr c, std::string n, duration e, Message m, Ok o, Bad b)
        : self(s),
          ctx(std::move(c)),
          name(std::move(n)),
          end(e),
          message(std::move(m)),
          ok(std::move(o)),
          bad(std::move(b)) {}
    void go() {
      auto me = this->shared_from_this();
      const auto left = end - duration(self->clock().now().time_since_epoch());
      if (left <= duration(0))
        return bad(error{errc::timeout, "no answer from " + name + " before the deadline"});
      if (buggify<"ask: the peer is gone for the moment">())
        return send_later(self, std::chrono::milliseconds(20), resume_later{[me] { me->go(); }});
      auto took = [me](const typename taken_by<Ok>::type& answer) { me->ok(answer); };
      ask(self, ctx->names->find(name), wait_for_answer(*ctx, name, left, tries++), message,
          std::move(took),
          [me](error why) {
            if (why.code == errc::disk_full) {
              note_disk_full(*me->ctx);
              constexpr auto pause = std::chrono::milliseconds(500);
              me->end += pause;
              return send_later(me->self, pause, resume_later{[me] { me->go(); }});
            }
            if (why.code == errc::timeout && me->ctx->names->leaves(me->name) && !planted("not_repeated"))
              return me->go();
            if (why.code != errc::unavailable) return me->bad(std::move(why));
            send_later(me->self, std::chrono::milliseconds(20), resume_later{[me] { me->go(); }});
          });
    }
  };
  std::make_shared<attempt>(self, ctx, name, duration(start) + patience, std::move(message), std::move(ok),
                            std::move(bad))
      ->go();
}

/// News that must arrive: a tell to whoever holds the name here; to another node's again and again, until its handler (which ends with
/// `noted`) has taken it. Then `then` runs. `bad`: nobody was there for so long, or it is fenced.
template <class Message, class Then, class Bad>
void tell_surely(self_ptr self, const context_ptr& ctx, const std::string& name, duration patience,
                 Message message, Then then, Bad bad) {
  if (!ctx->names->leaves(name)) {
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

} // namespace troupe

TROUPE_LOCAL_TYPE(troupe::resume_later)

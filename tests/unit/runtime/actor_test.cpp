#include "supervisor_fixture.hpp"

/// The hardened base: with CAF's own handlers each of the first cases ends an actor.
namespace {
using namespace troupe;
using namespace troupe::probe_world;

struct answers { // answers ints with a value
  static constexpr const char* name = "answers";
  explicit answers(self_ptr self) : self_(self) {}
  behavior make_behavior() {
    return {
        [](int x) -> int {
          if (x < 0) throw std::runtime_error("negative");
          return x + 1;
        },
        [](const std::string&) -> result<int> {
          return to_caf({errc::disk_full, "no space on device"});
        },
        [this](done) { self_->quit(); },
    };
  }
  self_ptr self_;
};

struct sends { // sends `what` to `whom` when told
  static constexpr const char* name = "sends";
  sends(self_ptr self, actor_ref whom, caf::message what)
      : self_(self), whom_(std::move(whom)), what_(std::move(what)) {}
  behavior make_behavior() {
    return {[this](done) { self_->send(whom_, what_); }, [](hello) { return done{}; }};
  }
  self_ptr self_;
  actor_ref whom_;
  caf::message what_;
};

struct forgetful { // keeps requests and never answers them
  static constexpr const char* name = "forgetful";
  explicit forgetful(self_ptr self) : self_(self) {}
  behavior make_behavior() {
    return {
        [this](int) {
          kept_.emplace_back(self_);
          return kept_.back().promise();
        },
        [this](const std::string&) {
          kept_.clear();
          return done{};
        },
        [this](done) {
          for (auto& answer : kept_) {
            answer.deliver(7);
            answer.deliver(8);
            answer.fail({errc::internal, "late"});
          }
        },
    };
  }
  self_ptr self_;
  std::vector<reply<int>> kept_;
};

struct asks { // asks and notes the answer
  static constexpr const char* name = "asks";
  asks(self_ptr self, actor_ref whom, std::vector<std::string>* log)
      : self_(self), whom_(std::move(whom)), log_(log) {}
  behavior make_behavior() {
    return {[this](int x) {
              ask(
                  self_, whom_, 5s, x, [this](int y) { log_->push_back(std::to_string(y)); },
                  [this](const error& why) { log_->push_back(to_string(why)); });
            },
            [](hello) { return done{}; }};
  }
  self_ptr self_;
  actor_ref whom_;
  std::vector<std::string>* log_;
};
using notes = std::vector<std::string>;

TEST(AnActor, SurvivesSendingWhatItsPeerDoesNotUnderstand) {
  simulation sim{1};
  auto peer = sim.spawn<answers>();
  auto sender = sim.spawn<sends>(peer, caf::make_message(1.5));
  const auto before = stats().unexpected.load();
  tell(sender, done{});
  sim.run();
  EXPECT_TRUE(sim.ask<done>(sender, hello{}));
  EXPECT_EQ(sim.ask<int>(peer, 1), 2);
  EXPECT_EQ(stats().unexpected, before + 1) << "nothing is dropped silently";
}

TEST(AnActor, SurvivesThatItsPlainMessagesAreAnswered) {
  simulation sim{1};
  auto peer = sim.spawn<answers>();
  auto sender = sim.spawn<sends>(peer, caf::make_message(1));
  tell(sender, done{});
  sim.run();
  EXPECT_TRUE(sim.ask<done>(sender, hello{}));
  EXPECT_EQ(sim.ask<int>(peer, 1), 2);
}

TEST(AnActor, SurvivesPeersThatThrowOrAreDead) {
  simulation sim{1};
  auto peer = sim.spawn<answers>();
  auto sender = sim.spawn<sends>(peer, caf::make_message(-1));
  for (int i = 0; i < 2; ++i) {
    tell(sender, done{});
    sim.run();
  }
  EXPECT_TRUE(sim.ask<done>(sender, hello{}));
  EXPECT_EQ(sim.ask<int>(peer, 1).error().code, errc::unavailable);
}

TEST(ARequest, IsAnsweredByAValueOrByTheErrorThatTheHandlerMeant) {
  simulation sim{1};
  auto peer = sim.spawn<answers>();
  EXPECT_EQ(sim.ask<int>(peer, 1), 2);
  EXPECT_EQ(sim.ask<int>(peer, std::string("x")).error(), (error{errc::disk_full, "no space on device"}));
  EXPECT_EQ(sim.ask<int>(peer, 1.5).error().code, errc::internal) << "not understood";
  EXPECT_EQ(sim.ask<int>(peer, -1).error(), (error{errc::internal, "negative"}));
  EXPECT_EQ(sim.ask<int>(peer, 1).error().code, errc::unavailable) << "it threw, so it is gone";
  EXPECT_EQ(sim.ask<int>(actor_ref{}, 1).error().code, errc::unavailable);
}

TEST(ARequest, EndsAtItsDeadlineAndItsLateAnswerIsDropped) {
  notes log;
  simulation sim{1};
  auto peer = sim.spawn<forgetful>();
  auto requester = sim.spawn<asks>(peer, &log);
  tell(requester, 1);
  sim.run_for(4999ms);
  EXPECT_TRUE(log.empty());
  sim.run_for(1ms);
  EXPECT_EQ(log, (notes{"timeout: no answer before the deadline"}));
  tell(peer, done{});
  sim.run_for(1min);
  EXPECT_EQ(log.size(), 1u);
  EXPECT_TRUE(sim.ask<done>(requester, hello{}));
}

struct
    asks_again { // asks every 300 ms, each time with a deadline before the next, besides one request that stays open
  static constexpr const char* name = "asks_again";
  asks_again(self_ptr self, actor_ref whom) : self_(self), whom_(std::move(whom)) {}
  behavior make_behavior() {
    ask_once(1h);
    go();
    return {[this](done) { go(); }};
  }
  void ask_once(duration deadline) {
    ask(
        self_, whom_, deadline, 1, [](int) {}, [](const error&) {});
  }
  void go() {
    ask_once(250ms);
    send_later(self_, 300ms, done{});
  }
  self_ptr self_;
  actor_ref whom_;
};

TEST(ARequest, ThatTimesOutAgainAndAgainBesideAnOpenOneCostsTheSameEachTime) {
  simulation sim{1};
  sim.limit_instant(1000); // the step between two looks at deadlines must not wrap around
  auto peer = sim.spawn<forgetful>();
  auto requester = sim.spawn<asks_again>(peer);
  sim.run_for(1min);
  const auto before = sim.steps();
  sim.run_for(1min);
  EXPECT_FALSE(sim.endless());
  EXPECT_LT(sim.steps() - before, 2000u);
}

/// Asks once for each of so many deadlines, a millisecond apart.
struct impatient {
  static constexpr const char* name = "impatient";
  impatient(self_ptr self, actor_ref whom, int requests, int* timeouts) {
    for (int i = 1; i <= requests; ++i)
      ask(
          self, whom, std::chrono::milliseconds(i), 1, [](int) {}, [timeouts](const error&) { ++*timeouts; });
  }
  behavior make_behavior() {
    return {[](done) {}};
  }
};

TEST(ManyRequests, EachEndAtTheirDeadlineAndTheTimerRestsThen) {
  simulation sim{1};
  sim.limit_instant(10'000);
  int timeouts = 0;
  sim.spawn<impatient>(sim.spawn<forgetful>(), 100, &timeouts);
  sim.run_for(99ms);
  EXPECT_EQ(timeouts, 99);
  sim.run_for(1h);
  EXPECT_EQ(timeouts, 100);
  EXPECT_FALSE(sim.endless());
}

TEST(AReply, DeliversOnce) {
  notes log;
  simulation sim{1};
  auto peer = sim.spawn<forgetful>();
  tell(sim.spawn<asks>(peer, &log), 1);
  sim.run();
  tell(peer, done{});
  sim.run_for(1min);
  EXPECT_EQ(log, (notes{"7"}));
}

TEST(AForgottenReply, FailsItsRequestAtOnce) {
  notes log;
  simulation sim{1};
  auto peer = sim.spawn<forgetful>();
  tell(sim.spawn<asks>(peer, &log), 1);
  sim.run();
  EXPECT_TRUE(sim.ask<done>(peer, std::string("forget")));
  EXPECT_EQ(log, (notes{"unavailable: the actor ended before it answered"}));
}

TEST(AReplyOfAKilledActor, FailsItsRequestAtOnce) {
  notes log;
  simulation sim{1};
  auto peer = sim.spawn<forgetful>();
  tell(sim.spawn<asks>(peer, &log), 1);
  sim.run();
  const auto before = sim.time().now();
  kill(peer);
  sim.run();
  EXPECT_EQ(log, (notes{"unavailable: the actor ended before it answered"}));
  EXPECT_EQ(sim.time().now(), before);
}

TEST(AKill, OvertakesTheMailboxAndAStopDoesNot) {
  for (bool killed : {true, false}) {
    int taken = 0;
    simulation sim{1};
    auto worker = sim.own(sim.system().spawn([&](self_ptr) -> behavior { return {[&](int) { ++taken; }}; }));
    sim.run();
    for (int i = 0; i < 1000; ++i) tell(worker, i);
    killed ? kill(worker) : request_stop(worker);
    sim.run();
    if (killed)
      EXPECT_LT(taken, 20);
    else
      EXPECT_EQ(taken, 1000);
  }
}

TEST(AnError, SurvivesTheWayThroughCaf) {
  for (int code = 0; code <= static_cast<int>(errc::internal); ++code) {
    const error what{static_cast<errc>(code), "text " + std::to_string(code)};
    EXPECT_TRUE(to_caf(what)) << "no code may mean success";
    EXPECT_EQ(from_caf(to_caf(what)), what);
  }
  EXPECT_EQ(from_caf(caf::sec::request_timeout).code, errc::timeout);
  EXPECT_EQ(from_caf(caf::sec::request_receiver_down).code, errc::unavailable);
  EXPECT_EQ(from_caf(caf::make_error(caf::exit_reason::kill)).code, errc::unavailable);
  EXPECT_EQ(from_caf(caf::sec::unexpected_message).code, errc::internal);
}

TEST(LivingActors, AreCountedByNameUntilTheyEnd) {
  simulation sim{1};
  auto count = [](const std::string& name) {
    for (auto& [n, k] : living_actors())
      if (n == name) return k;
    return std::int64_t{0};
  };
  auto one = sim.spawn<answers>();
  auto two = sim.spawn<answers>();
  EXPECT_EQ(count("answers"), 2);
  kill(one);
  tell(two, -1);
  sim.run();
  EXPECT_EQ(count("answers"), 0);
}

} // namespace

#include "supervisor_fixture.hpp"

#include "runtime/restart_policy.hpp"
#include <algorithm>

namespace {
using namespace troupe;
using namespace troupe::probe_world;

// -- start and stop
// ----------------------------------------------------------------------------------------------------

TEST(ASupervisor, StartsInOrderAndStopsInReverse) { // SUP-1, SUP-2
  world w{1};
  w.start({"a", "b", "c"});
  EXPECT_EQ(w.lines(), "+a +b +c");
  EXPECT_TRUE(w.answers("b"));
  EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_all{}));
  EXPECT_EQ(w.lines(), "-c -b -a");
  EXPECT_FALSE(w.names->find("a"));
  EXPECT_EQ(w.sim.ask<done>(w.supervisor, stop_all{}).error().code, errc::unavailable);
}

TEST(ASupervisor, WhoseChildDoesNotStartStopsThoseBeforeItAndEnds) { // SUP-1
  world w{1};
  auto broken = w.child("c");
  broken.start = [](self_ptr) -> actor_ref { throw std::runtime_error("no such file"); };
  std::optional<error> reason;
  w.supervisor =
      spawn_supervisor(w.sim.system(), w.options, {w.child("a"), w.child("b"), broken, w.child("d")});
  w.sim.spawn<mourner>(w.supervisor, &reason);
  w.sim.run();
  EXPECT_EQ(w.lines(), "+a +b -b -a");
  ASSERT_TRUE(reason);
  EXPECT_EQ(*reason, (error{errc::unavailable, "child \"c\" did not start: no such file"}));
}

TEST(ASupervisor, RefusesTwoChildrenOfOneName) {
  world w{1};
  std::optional<error> reason;
  w.supervisor = spawn_supervisor(w.sim.system(), w.options, {w.child("a"), w.child("a")});
  w.sim.spawn<mourner>(w.supervisor, &reason);
  w.sim.run();
  ASSERT_TRUE(reason);
  EXPECT_EQ(reason->code, errc::invalid);
  EXPECT_EQ(w.probes.lives["a"], 0);
}

TEST(ASupervisor, WithoutChildrenLivesAndCanBeStopped) {
  world w{1};
  w.start(std::vector<child_spec>{});
  EXPECT_TRUE(w.sim.ask<std::vector<child_status>>(w.supervisor, list_children{})->empty());
  EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_all{}));
}

TEST(ASupervisor, KillsAChildThatIgnoresItsStopAtItsDeadline) { // SUP-2
  world w{1};
  auto deaf = w.child("deaf", true);
  deaf.stop_deadline = 300ms;
  w.start({w.child("a"), deaf, w.child("c")});
  const auto before = w.sim.time().now();
  EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_all{}));
  EXPECT_EQ(w.sim.time().now() - before, 300ms);
  EXPECT_EQ(w.lines(), "+a +deaf +c -c -deaf -a");
  EXPECT_EQ(w.count(supervision_kind::killed_late), 1);
}

TEST(AKilledSupervisor, LeavesNoChildAliveAtAnyDepth) { // SUP-2
  world w{1};
  child_spec inner;
  inner.id = "inner";
  inner.start = [&w](self_ptr parent) {
    auto options = w.options;
    options.name = "inner";
    return spawn_supervisor(parent, options, {w.child("x"), w.child("y", true)});
  };
  w.start({w.child("a"), inner, w.child("b", true)});
  EXPECT_EQ(w.probes.lives["y"], 1);
  kill(w.supervisor);
  w.sim.run();
  for (auto id : {"a", "b", "x", "y"}) {
    EXPECT_EQ(w.probes.lives[id], 0) << id;
    EXPECT_FALSE(w.names->find(id)) << id;
  }
}

TEST(ASupervisor, StopsWhenItsParentAsksAndAfterItsOwnChildren) { // SUP-2
  world w{1};
  child_spec inner;
  inner.id = "inner";
  inner.start = [&w](self_ptr parent) {
    return spawn_supervisor(parent, w.options, {w.child("x"), w.child("y")});
  };
  w.start({w.child("a"), inner, w.child("b")});
  w.lines();
  EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_all{}));
  EXPECT_EQ(w.lines(), "-b -y -x -a");
}

// -- restarts
// ----------------------------------------------------------------------------------------------------------

TEST(OneForOne, RestartsOnlyTheChildThatEnded) {
  world w{1};
  w.start({"a", "b", "c"});
  w.lines();
  w.kill_child("b");
  w.sim.run();
  EXPECT_EQ(w.lines(), "-b +b");
  EXPECT_TRUE(w.answers("b"));
}

TEST(OneForAll, StopsAllInReverseAndStartsAllInOrder) { // SUP-2
  world w{1};
  w.options.strategy = restart_strategy::one_for_all;
  w.start({"a", "b", "c"});
  w.lines();
  w.kill_child("b");
  w.sim.run();
  EXPECT_EQ(w.lines(), "-b -c -a +a +b +c");
}

TEST(RestForOne, RestartsThoseStartedAfterTheOneThatEnded) {
  world w{1};
  w.options.strategy = restart_strategy::rest_for_one;
  w.start({"a", "b", "c", "d"});
  w.lines();
  w.kill_child("b");
  w.sim.run();
  EXPECT_EQ(w.lines(), "-b -d -c +b +c +d");
}

TEST(ASupervisor, RestartsByKindAndReason) {
  world w{1};
  w.options.intensity = 100;
  auto transient = w.child("transient"), temporary = w.child("temporary");
  transient.restart = restart_kind::transient;
  temporary.restart = restart_kind::temporary;
  w.start({w.child("permanent"), transient, temporary});
  for (auto id : {"permanent", "transient"}) w.kill_child(id);
  w.sim.run_for(1s);
  EXPECT_EQ(w.probes.starts["permanent"], 2);
  EXPECT_EQ(w.probes.starts["transient"], 2);
  for (auto id : {"permanent", "transient"}) tell(w.names->find(id), leave{});
  w.kill_child("temporary");
  w.sim.run_for(1s);
  EXPECT_EQ(w.probes.starts["permanent"], 3);
  EXPECT_EQ(w.state_of("transient"), "absent");
  EXPECT_EQ(w.state_of("temporary"), "absent");
}

TEST(ASupervisor, NamesTheReasonAChildThrew) { // SUP-6
  world w{1};
  w.start({"a"});
  tell(w.names->find("a"), crash{"the disk is on fire"});
  w.sim.run();
  ASSERT_EQ(w.count(supervision_kind::ended), 1);
  EXPECT_EQ(w.events.at(1).reason, (error{errc::internal, "the disk is on fire"}));
  EXPECT_EQ(w.count(supervision_kind::restarted), 1);
}

struct stillborn {
  static constexpr const char* name = "stillborn";
  explicit stillborn(self_ptr) { throw std::runtime_error("cannot open"); }
  behavior make_behavior() {
    return {[](leave) {}};
  }
};

TEST(ASupervisor, TreatsAChildThatFailsInItsConstructorAsAnEnd) {
  world w{1};
  auto spec = w.child("x");
  spec.start = [](self_ptr parent) { return spawn_state<stillborn>(parent); };
  spec.quarantine_after = 2;
  w.start({spec});
  w.sim.run_for(1s);
  EXPECT_EQ(w.state_of("x"), "quarantined");
  EXPECT_EQ(w.events.back().reason, (error{errc::internal, "cannot open"}));
}

TEST(ASupervisor, RetriesAStartThatThrows) {
  world w{1};
  int tries = 0;
  auto spec = w.child("x");
  spec.start = [&, good = spec.start](self_ptr parent) {
    if (++tries == 2 || tries == 3) throw std::runtime_error("not yet");
    return good(parent);
  };
  w.options.intensity = 5;
  w.start({spec});
  w.kill_child("x");
  w.sim.run_for(1s);
  EXPECT_EQ(tries, 4);
  EXPECT_TRUE(w.answers("x"));
}

TEST(ARestart, WaitsItsBackOffAndTheNameIsEmptyMeanwhile) { // SUP-4
  world w{1};
  w.options.backoff = {100ms, 200ms, 10s, 0};
  w.options.intensity = 10;
  w.start({"a"});
  w.kill_child("a");
  w.sim.run_for(99ms);
  EXPECT_FALSE(w.names->find("a"));
  EXPECT_EQ(w.state_of("a"), "restarting");
  EXPECT_EQ(w.sim.ask<done>(w.names->find("a"), hello{}).error().code, errc::unavailable);
  w.sim.run_for(1ms);
  EXPECT_TRUE(w.answers("a"));
  w.kill_child("a");
  w.sim.run_for(199ms);
  EXPECT_FALSE(w.names->find("a"));
  w.sim.run_for(1ms);
  EXPECT_TRUE(w.names->find("a"));
}

TEST(TheBackOff, DoublesUpToItsMaximumWithinItsJitter) {
  const backoff_options options{0ms, 10ms, 100ms, 0.2};
  random_stream random{3};
  EXPECT_EQ(backoff_delay(options, 1, random), 0ms);
  const duration wanted[] = {10ms, 20ms, 40ms, 80ms, 100ms, 100ms};
  bool varied = false;
  for (int nth = 2; nth < 8; ++nth) {
    const auto got = backoff_delay(options, nth, random);
    EXPECT_NEAR(seconds(got), seconds(wanted[nth - 2]), 0.2001 * seconds(wanted[nth - 2]));
    varied |= got != wanted[nth - 2];
  }
  EXPECT_TRUE(varied);
  EXPECT_LE(backoff_delay(options, 1'000'000, random), 120ms); // no overflow
}

// -- crash loops
// ---------------------------------------------------------------------------------------------------------

TEST(ASupervisor, GivesUpOnAChildThatNeverComesUpHoweverLongItsBackOff) { // SUP-7, LOOP-1
  world w{1};
  w.options.intensity = 30;
  w.options.period = 10s;
  w.options.crash_loop.lives = 8;
  int tries = 0;
  auto spec = w.child("x");
  spec.start = [&, good = spec.start](self_ptr parent) {
    if (++tries > 1) throw std::runtime_error("its plugin is missing");
    return good(parent);
  };
  std::optional<error> reason;
  w.start({w.child("a"), spec});
  w.sim.spawn<mourner>(w.supervisor, &reason);
  w.kill_child("x");
  w.sim.run_for(9s);
  EXPECT_FALSE(reason) << "not before ten seconds";
  EXPECT_GE(tries, 8);
  w.sim.run_for(20s);
  ASSERT_TRUE(reason);
  EXPECT_EQ(reason->code, errc::exhausted);
  EXPECT_NE(reason->message.find("\"x\" came up again and again"), std::string::npos) << reason->message;
  EXPECT_NE(reason->message.find("its plugin is missing"), std::string::npos) << reason->message;
  EXPECT_EQ(w.probes.lives["a"], 0);
}

/// Kills "x" after each of the lives, the given number of them; whether its supervisor gave up.
bool gives_up(world& w, int deaths, duration life) {
  for (int i = 0; i < deaths && w.count(supervision_kind::gave_up) == 0; ++i) {
    while (!w.names->find("x")) w.sim.run_for(100ms);
    w.sim.run_for(life);
    w.kill_child("x");
    w.sim.run();
  }
  return w.count(supervision_kind::gave_up) > 0;
}

TEST(ASupervisor, TakesDeathsAmongLivesThatGotOnForNoCrashLoop) { // LOOP-1
  for (const auto life : {duration(4900ms), duration(5s)}) {
    world w{1};
    w.options.intensity = 100;
    w.options.crash_loop.lives = 8;
    w.start({"x"});
    EXPECT_EQ(gives_up(w, 100, life), life < 5s);
  }
  world w{1}; // seven short ones, one long one, again and again
  w.options.intensity = 100;
  w.options.crash_loop.lives = 8;
  w.start({"x"});
  for (int round = 0; round < 20; ++round) {
    EXPECT_FALSE(gives_up(w, 7, 2s));
    EXPECT_FALSE(gives_up(w, 1, 6s));
  }
}

TEST(ASupervisor, CountsTheWorkOfAChildThatHasSomeAndNotItsTime) { // SUP-7
  for (const bool works : {true, false}) {
    world w{1};
    std::uint64_t steps = 0;
    w.options.intensity = 100;
    w.options.crash_loop.lives = 8;
    w.options.crash_loop.work = [&](const std::string&) { return std::optional(steps += works); };
    w.start({"x"});
    EXPECT_EQ(gives_up(w, 20, works ? 100ms : 60s), !works);
  }
}

// -- the limit
// ---------------------------------------------------------------------------------------------------------

TEST(ASupervisor, GivesUpExactlyWhenRestartsExceedItsIntensityWithinItsPeriod) { // SUP-3, WINDOW-1
  int gave_up = 0, survived = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream random{seed};
    world w{seed};
    w.options.intensity = 1 + static_cast<int>(random.below(3));
    w.options.period = std::chrono::milliseconds(1000);
    w.options.backoff = {0ms, 0ms, 0ms, 0};
    w.start({"a", "b"});
    std::vector<duration> ends; // the model: all ends, and a plain count of those within a period
    for (int i = 0; i < 12; ++i) {
      w.sim.run_for(std::chrono::milliseconds(random.below(5) * 250));
      const auto now = w.sim.time().now();
      ends.push_back(now);
      const auto within =
          std::count_if(ends.begin(), ends.end(), [&](duration t) { return now - t <= 1000ms; });
      w.kill_child(random.chance(0.5) ? "a" : "b");
      w.sim.run();
      const bool expected_end = within > w.options.intensity;
      ASSERT_EQ(w.count(supervision_kind::gave_up), expected_end ? 1 : 0) << "at end " << i;
      if (expected_end) {
        ++gave_up;
        EXPECT_EQ(w.probes.lives["a"] + w.probes.lives["b"], 0);
        break;
      }
      survived += i == 11;
    }
  }
  EXPECT_GT(gave_up, 20);
  EXPECT_GT(survived, 5);
}

TEST(ACrashLoop, EscalatesToTheParentWhichRestartsTheWholeBranch) { // SUP-3
  world w{1};
  child_spec branch;
  branch.id = "branch";
  branch.start = [&w](self_ptr parent) {
    auto options = w.options;
    options.name = "branch";
    options.intensity = 2;
    return spawn_supervisor(parent, options, {w.child("x"), w.child("y")});
  };
  w.start({w.child("a"), branch});
  for (int i = 0; i < 3; ++i) {
    w.kill_child("x");
    w.sim.run_for(50ms);
  }
  EXPECT_EQ(w.count(supervision_kind::gave_up), 1);
  EXPECT_EQ(w.probes.starts["x"], 4);
  EXPECT_EQ(w.probes.starts["y"], 2);
  EXPECT_EQ(w.probes.starts["a"], 1);
  EXPECT_TRUE(w.answers("x"));
  for (auto& e : w.events)
    if (e.kind == supervision_kind::ended && e.child == "branch") {
      EXPECT_EQ(e.reason.code, errc::exhausted);
    }
}

// -- quarantine
// --------------------------------------------------------------------------------------------------------

TEST(APoisonChild, IsQuarantinedAfterThreeEndsAndDisturbsNobody) { // SUP-5, promise 16
  world w{1};
  w.options.intensity = 1;
  auto poison = w.child("poison");
  poison.quarantine_after = 3;
  w.start({w.child("a"), poison});
  for (int i = 0; i < 3; ++i) {
    tell(w.names->find("poison"), crash{"division by zero"});
    w.sim.run_for(100ms);
  }
  EXPECT_EQ(w.state_of("poison"), "quarantined");
  EXPECT_EQ(w.count(supervision_kind::quarantined), 1);
  EXPECT_EQ(w.count(supervision_kind::gave_up), 0);
  EXPECT_EQ(w.probes.starts["a"], 1);
  auto list = w.sim.ask<std::vector<child_status>>(w.supervisor, list_children{});
  EXPECT_EQ(list->at(1).last_reason, "division by zero");
  EXPECT_EQ(w.sim.ask<actor_ref>(w.supervisor, start_child{w.child("poison")}).error().code, errc::exhausted);
  w.sim.run_for(24h);
  EXPECT_EQ(w.probes.starts["poison"], 3);

  EXPECT_TRUE(w.sim.ask<done>(w.supervisor, release_quarantine{"poison"}));
  EXPECT_TRUE(w.answers("poison"));
  EXPECT_EQ(w.sim.ask<done>(w.supervisor, release_quarantine{"poison"}).error().code, errc::not_found);
  for (int i = 0; i < 2; ++i) {
    w.kill_child("poison");
    w.sim.run_for(10s);
  }
  EXPECT_TRUE(w.answers("poison")) << "a released child has its three tries again";
}

TEST(Progress, StartsTheCountToQuarantineAnew) { // SUP-5: who dies now and then in a long life is no poison
  world w{1};
  auto spec = w.child("x");
  spec.quarantine_after = 3;
  w.start({spec});
  for (int i = 0; i < 10; ++i) {
    w.kill_child("x");
    w.sim.run_for(10s);
    w.kill_child("x");
    w.sim.run_for(10s);
    tell(w.supervisor, child_progressed{"x"});
    tell(w.supervisor, child_progressed{"nobody"});
    w.sim.run_for(1s);
  }
  EXPECT_TRUE(w.answers("x"));
  for (int i = 0; i < 3; ++i) {
    w.kill_child("x");
    w.sim.run_for(10s);
  }
  EXPECT_EQ(w.state_of("x"), "quarantined");
}

TEST(Progress, StartsTheBackOffAnew) { // SUP-4: what works between two deaths is not made to wait
  world w{1};
  w.options.backoff = {0ms, 200ms, 10s, 0};
  w.options.intensity = 10;
  w.start({"a"});
  w.kill_child("a");
  w.sim.run_for(1ms);
  tell(w.supervisor, child_progressed{"a"});
  w.sim.run_for(1ms);
  w.kill_child("a");
  w.sim.run_for(1ms);
  EXPECT_TRUE(w.answers("a"));
  w.kill_child("a"); // without progress
  w.sim.run_for(199ms);
  EXPECT_FALSE(w.names->find("a"));
  w.sim.run_for(1ms);
  EXPECT_TRUE(w.names->find("a"));
}

TEST(ANormalEnd, StartsTheCountToQuarantineAnew) { // SUP-5
  world w{1};
  w.options.intensity = 10;
  auto spec = w.child("x");
  spec.quarantine_after = 2;
  w.start({spec});
  for (int i = 0; i < 3; ++i) {
    w.kill_child("x");
    w.sim.run_for(1s);
    tell(w.names->find("x"), leave{});
    w.sim.run_for(1s);
  }
  EXPECT_TRUE(w.answers("x"));
}

// -- children that come and go
// -----------------------------------------------------------------------------------------

TEST(ASupervisor, TakesAndReleasesChildrenWhileItRuns) {
  world w{1};
  w.start({"a"});
  auto b = w.sim.ask<actor_ref>(w.supervisor, start_child{w.child("b")});
  ASSERT_TRUE(b);
  EXPECT_EQ(*b, w.names->find("b"));
  EXPECT_EQ(w.sim.ask<actor_ref>(w.supervisor, start_child{w.child("b")}).error().code, errc::conflict);
  auto broken = w.child("c");
  broken.start = [](self_ptr) -> actor_ref { throw std::runtime_error("no"); };
  EXPECT_EQ(w.sim.ask<actor_ref>(w.supervisor, start_child{broken}).error(),
            (error{errc::unavailable, "no"}));
  EXPECT_EQ(w.state_of("c"), "absent");
  w.kill_child("b");
  w.sim.run_for(1s);
  EXPECT_EQ(w.probes.starts["b"], 2);
  EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_child{"b"}));
  EXPECT_EQ(w.probes.lives["b"], 0);
  EXPECT_EQ(w.state_of("b"), "absent");
  EXPECT_EQ(w.sim.ask<done>(w.supervisor, stop_child{"b"}).error().code, errc::not_found);
  EXPECT_EQ(w.count(supervision_kind::gave_up), 0);
}

TEST(ASupervisor, StopsADeafChildWithinItsDeadline) { // SUP-2
  world w{1};
  auto deaf = w.child("deaf", true);
  deaf.stop_deadline = 2s;
  w.start({deaf});
  const auto before = w.sim.time().now();
  EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_child{"deaf"}));
  EXPECT_EQ(w.sim.time().now() - before, 2s);
}

TEST(AStop, HasItsWholeDeadlineWhateverTimersEarlierLivesLeftBehind) { // SUP-2
  world w{1};
  w.options.strategy = restart_strategy::one_for_all;
  w.options.backoff = {0ms, 0ms, 0ms, 0};
  auto slow = w.child("slow");
  slow.stop_deadline = 1s;
  int lives = 0;
  slow.start = [&](self_ptr parent) { return w.child("slow", ++lives == 2).start(parent); };
  w.start({w.child("a"), slow});
  w.kill_child("a"); // slow stops at once; its timer is left behind
  w.sim.run_for(500ms);
  w.kill_child("a"); // now it does not: it has until 1.5 s
  w.sim.run_for(999ms);
  EXPECT_EQ(w.count(supervision_kind::killed_late), 0);
  EXPECT_EQ(lives, 2);
  w.sim.run_for(1ms);
  EXPECT_EQ(w.count(supervision_kind::killed_late), 1);
  EXPECT_EQ(lives, 3);
}

TEST(AChildThatIsToStop, IsNotRestartedFromItsBackOff) {
  world w{1};
  w.options.backoff.initial = 1s;
  w.start({"a"});
  w.kill_child("a");
  w.sim.run();
  EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_child{"a"}));
  w.sim.run_for(1min);
  EXPECT_EQ(w.probes.starts["a"], 1);
}

TEST(AChildThatIsToStart, WaitsForARestartInProgressEvenIfAllOfItIsStopped) {
  world w{1};
  w.options.strategy = restart_strategy::one_for_all;
  auto deaf = w.child("deaf", true);
  deaf.stop_deadline = 1s;
  w.start({w.child("a"), deaf});
  w.kill_child("a");
  w.sim.run();
  tell(w.supervisor, stop_child{"a"});
  tell(w.supervisor, stop_child{"deaf"});
  tell(w.supervisor, start_child{w.child("late")});
  w.sim.run();
  EXPECT_EQ(w.probes.starts["late"], 0);
  w.sim.run_for(1s);
  EXPECT_TRUE(w.answers("late"));
  EXPECT_EQ(w.state_of("a"), "absent");
  EXPECT_EQ(w.state_of("deaf"), "absent");
}

TEST(AnObserverThatThrows, DisturbsNobody) {
  world w{1};
  w.options.observer = [](const supervision_event&) { throw std::runtime_error("full"); };
  w.start({"a"});
  w.kill_child("a");
  w.sim.run();
  EXPECT_TRUE(w.answers("a"));
}

} // namespace

#include "runtime/credit_queue.hpp"
#include "supervisor_fixture.hpp"

#include <gtest/gtest.h>

namespace {
using namespace troupe;
using namespace std::chrono_literals;

// -- credit_gate

TEST(ACreditGate, RefusesTheItemThatWouldExceedItsCapacity) { // GATE-1
  credit_gate gate{1};
  EXPECT_TRUE(gate.try_take());
  EXPECT_FALSE(gate.try_take());
  EXPECT_EQ(gate.in_flight(), 1u);
}

TEST(ACreditGate, AdmitsAgainOnceACreditHasComeBack) { // GATE-1
  credit_gate gate{1};
  ASSERT_TRUE(gate.try_take());
  gate.give_back();
  EXPECT_TRUE(gate.try_take());
}

TEST(AClosedCreditGate, HandsOutNothingAndDrainsWithItsLastCredit) { // GATE-2, GATE-3
  credit_gate gate{2};
  ASSERT_TRUE(gate.try_take());
  gate.close();
  EXPECT_FALSE(gate.try_take());
  EXPECT_FALSE(gate.drained());
  gate.give_back();
  EXPECT_TRUE(gate.drained());
  EXPECT_FALSE(gate.try_take());
}

// -- credit_queue

struct noted { // a waiter that writes down its answer
  std::vector<std::string>* log;
  std::string id;
  void deliver(done) { log->push_back(id + " granted"); }
  void fail(const error& why) { log->push_back(id + " " + std::string(to_string(why.code))); }
};
using notes = std::vector<std::string>;

TEST(ACreditQueue, GrantsInTheOrderOfAskingAndRefusesWhatExceedsItsBound) { // CRED-1, CRED-2, CRED-3
  notes log;
  credit_queue<noted> queue{{.capacity = 1, .max_waiting = 2, .lease = 10s}};
  for (auto id : {"a", "b", "c", "d"}) queue.request(id, 0s, {&log, id});
  EXPECT_EQ(log, (notes{"a granted", "d exhausted"}));
  EXPECT_TRUE(queue.give_back("a", 1s));
  EXPECT_FALSE(queue.give_back("a", 1s));
  EXPECT_TRUE(queue.give_back("b", 2s));
  EXPECT_EQ(log, (notes{"a granted", "d exhausted", "b granted", "c granted"}));
}

TEST(ACreditQueue, TakesBackTheCreditOfASilentHolder) { // CRED-4
  notes log;
  credit_queue<noted> queue{{.capacity = 2, .max_waiting = 9, .lease = 10s}};
  for (auto id : {"a", "b", "c"}) queue.request(id, 0s, {&log, id});
  EXPECT_TRUE(queue.renew("b", 5s));
  EXPECT_EQ(queue.next_expiry(), duration(10s));
  EXPECT_EQ(queue.expire(9s), 0u);
  EXPECT_EQ(queue.expire(10s), 1u);
  EXPECT_EQ(log.back(), "c granted");
  EXPECT_FALSE(queue.renew("a", 11s));
  EXPECT_FALSE(queue.give_back("a", 11s)) << "too late: it is another's now";
  EXPECT_EQ(queue.held(), 2u);
}

TEST(ACreditQueue, GivesANewLifeOfAHolderItsOldCredit) { // CRED-5
  notes log;
  credit_queue<noted> queue{{.capacity = 1, .max_waiting = 9, .lease = 10s}};
  queue.request("a", 0s, {&log, "a"});
  queue.request("b", 0s, {&log, "b"});
  queue.request("a", 8s, {&log, "a again"});
  queue.request("b", 9s, {&log, "b again"});
  EXPECT_EQ(log, (notes{"a granted", "a again granted", "b cancelled"}));
  EXPECT_EQ(queue.expire(17s), 0u) << "asking again renews";
  queue.give_back("a", 17s);
  EXPECT_EQ(log.back(), "b again granted");
}

TEST(ACreditQueue, ForgetsAHolderThatHasEnded) { // CRED-3, CRED-4
  notes log;
  credit_queue<noted> queue{{.capacity = 1, .max_waiting = 9, .lease = 10s}};
  for (auto id : {"a", "b", "c"}) queue.request(id, 0s, {&log, id});
  queue.drop("b", 1s);
  queue.drop("a", 1s);
  EXPECT_EQ(log, (notes{"a granted", "b cancelled", "c granted"}));
}

TEST(AClosedCreditQueue, RefusesThoseWhoWaitAndDrainsWithItsLastHolder) { // GATE-2, GATE-3, CRED-3
  notes log;
  credit_queue<noted> queue{{.capacity = 1, .max_waiting = 9, .lease = 10s}};
  for (auto id : {"a", "b"}) queue.request(id, 0s, {&log, id});
  queue.close();
  queue.request("c", 0s, {&log, "c"});
  EXPECT_FALSE(queue.drained());
  queue.give_back("a", 1s);
  EXPECT_TRUE(queue.drained());
  EXPECT_EQ(log, (notes{"a granted", "b cancelled", "c cancelled"}));
}

TEST(ACreditQueue, KeepsItsPromisesUnderRandomUse) { // CRED-1 to CRED-4
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream random{seed};
    notes log;
    const auto capacity = 1 + random.below(4);
    credit_queue<noted> queue{{.capacity = capacity, .max_waiting = 5, .lease = 10s}};
    std::size_t asked = 0;
    duration now{0};
    for (int i = 0; i < 300; ++i) {
      const std::string id(1, static_cast<char>('a' + random.below(12)));
      now += std::chrono::milliseconds(random.below(3000));
      switch (random.below(4)) {
      case 0:
      case 1: queue.request(id, now, {&log, id}), ++asked; break;
      case 2: queue.give_back(id, now); break;
      case 3: random.chance(0.5) ? queue.drop(id, now) : void(queue.expire(now)); break;
      }
      ASSERT_LE(queue.held(), capacity);
      ASSERT_LE(queue.waiting(), 5u);
      if (queue.waiting() > 0) {
        ASSERT_EQ(queue.held(), capacity) << "nobody waits beside a free credit";
      }
      ASSERT_EQ(log.size() + queue.waiting(), asked);
    }
  }
}

TEST(ACreditQueue, WorksWithTheRepliesOfAnActor) { // CRED-2, CRED-3
  simulation sim{3};
  auto lender = sim.own(sim.system().spawn([](self_ptr self) -> behavior {
    auto queue = std::make_shared<credit_queue<reply<done>>>(credit_queue<reply<done>>::limits{1, 10, 10s});
    return {
        [=](const std::string& holder) {
          reply<done> answer(self);
          auto promise = answer.promise();
          queue->request(holder, duration(self->clock().now().time_since_epoch()), std::move(answer));
          return promise;
        },
        [=](int) { queue->expire(duration(self->clock().now().time_since_epoch())); },
    };
  }));
  EXPECT_TRUE(sim.ask<done>(lender, std::string("a"), 1s));
  EXPECT_EQ(sim.ask<done>(lender, std::string("b"), 1s).error().code, errc::timeout);
  sim.run_for(10s);
  tell(lender, 1);
  EXPECT_TRUE(sim.ask<done>(lender, std::string("b"), 1s)) << "a's lease has run out";
}

} // namespace

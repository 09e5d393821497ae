#include "runtime/message_faults.hpp"

#include "runtime/simulation.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

struct count_to {
  int number = 0;
};

} // namespace

TROUPE_LOCAL_TYPE(count_to)

namespace {

/// Notes what it hears, and answers.
struct listener {
  static constexpr const char* name = "listener";
  listener(self_ptr self, std::vector<int>* heard) : self_(self), heard_(heard) {}
  behavior make_behavior() {
    return {[this](const count_to& it) -> result<done> {
      heard_->push_back(it.number);
      return noted(self_);
    }};
  }
  self_ptr self_;
  std::vector<int>* heard_;
};

/// Tells 1, 2, 3, then asks.
struct speaker {
  static constexpr const char* name = "speaker";
  speaker(self_ptr self, actor_ref whom, std::vector<std::string>* answers)
      : self_(self), whom_(whom), answers_(answers) {}
  behavior make_behavior() {
    for (int i = 1; i <= 3; ++i) tell(self_, whom_, count_to{i});
    ask(
        self_, whom_, 1s, count_to{4}, [this](const done&) { answers_->push_back("done"); },
        [this](const error& why) { answers_->push_back(std::string(to_string(why.code))); });
    return {[](done) {}};
  }
  self_ptr self_;
  actor_ref whom_;
  std::vector<std::string>* answers_;
};

/// The n-th message (from 1) has this fate, the others arrive.
struct one_of_them final : message_faults {
  one_of_them(int n, message_fate fate) : n_(n), fate_(fate) {}
  message_fate fate(std::string_view from, std::string_view to) override {
    ways.push_back(std::string(from) + "->" + std::string(to));
    return ++count_ == n_ ? fate_ : message_fate{};
  }
  std::vector<std::string> ways;

private:
  int n_, count_ = 0;
  message_fate fate_;
};

struct outcome {
  std::vector<int> heard;
  std::vector<std::string> answers, ways;
};

outcome with(int n, message_fate fate, duration time = 2s) {
  outcome out;
  simulation sim(1);
  auto how = std::make_shared<one_of_them>(n, fate);
  set_message_faults(sim.system(), how);
  auto whom = sim.spawn<listener>(&out.heard);
  sim.spawn<speaker>(whom, &out.answers);
  sim.run_for(time);
  out.ways = how->ways;
  set_message_faults(sim.system(), nullptr);
  return out;
}

using kind = message_fate::what;

} // namespace

TEST(AMessage, ThatIsLostNeverArrivesAndItsAskerHearsOfTheDeadline) {
  EXPECT_EQ(with(2, {kind::drop, {}}).heard, (std::vector<int>{1, 3, 4}));
  const auto asked = with(4, {kind::drop, {}});
  EXPECT_EQ(asked.heard, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(asked.answers, std::vector<std::string>{"timeout"});
  const auto answered = with(5, {kind::drop, {}}); // the answer
  EXPECT_EQ(answered.heard, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(answered.answers, std::vector<std::string>{"timeout"});
}

TEST(AMessage, ThatIsDoubledArrivesTwiceButIsAnsweredOnce) {
  EXPECT_EQ(with(1, {kind::duplicate, {}}).heard, (std::vector<int>{1, 1, 2, 3, 4}));
  const auto asked = with(4, {kind::duplicate, {}});
  EXPECT_EQ(asked.heard, (std::vector<int>{1, 2, 3, 4, 4}));
  EXPECT_EQ(asked.answers, std::vector<std::string>{"done"});
  EXPECT_EQ(with(5, {kind::duplicate, {}}).answers, std::vector<std::string>{"done"});
}

TEST(AMessage, ThatIsLateIsOvertaken) {
  EXPECT_EQ(with(1, {kind::delay, 500ms}).heard, (std::vector<int>{2, 3, 4, 1}));
  EXPECT_EQ(with(1, {kind::delay, 500ms}, 400ms).heard, (std::vector<int>{2, 3, 4})) << "not before its time";
}

TEST(AMessage, ThatIsOvertakenComesBehindTheNextOne) {
  EXPECT_EQ(with(1, {kind::reorder, 50ms}).heard, (std::vector<int>{2, 1, 3, 4}));
  EXPECT_EQ(with(4, {kind::reorder, 50ms}).heard, (std::vector<int>{1, 2, 3, 4}))
      << "none comes: it arrives all the same";
}

TEST(AMessage, BetweenOthersThanTwoActorsIsNobodysToLose) {
  const auto all = with(-1, {});
  EXPECT_EQ(all.ways, (std::vector<std::string>{"speaker->listener", "speaker->listener", "speaker->listener",
                                                "speaker->listener", "listener->speaker"}));
}

TEST(AnEnd, IsHeardOfHoweverManyMessagesAreLost) {
  struct all_lost final : message_faults {
    message_fate fate(std::string_view, std::string_view) override { return {kind::drop, {}}; }
  };
  simulation sim(1);
  set_message_faults(sim.system(), std::make_shared<all_lost>());
  std::vector<int> heard;
  std::vector<std::string> answers;
  auto whom = sim.spawn<listener>(&heard);
  kill(whom);
  sim.run();
  sim.spawn<speaker>(whom, &answers);
  sim.run_for(100ms);
  EXPECT_EQ(answers, std::vector<std::string>{"unavailable"});
  set_message_faults(sim.system(), nullptr);
}

#include "runtime/simulation.hpp"
#include "runtime/store.hpp"

#include "../folder.hpp"
#include "runtime/system.hpp"
#include <gtest/gtest.h>
#include <set>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using outcomes = std::vector<append_outcome>;
using rows = std::vector<record>;

append_records one(const std::string& key, std::string body = "body") {
  return {{{"stream", "kind", key, std::move(body)}}};
}

/// A store that fails as it is told, around a real one.
class faulty_store final : public event_store {
public:
  struct faults {
    std::optional<error> next_append;
    int groups = 0;
  };
  faulty_store(std::unique_ptr<event_store> it, std::shared_ptr<faults> how)
      : it_(std::move(it)), how_(std::move(how)) {}
  append_result append(append_request records) override { return it_->append(records); }
  std::vector<append_result> append_group(std::span<const append_request> requests) override {
    ++how_->groups;
    if (how_->next_append) return std::vector<append_result>(requests.size(), fail(*how_->next_append));
    return it_->append_group(requests);
  }
  expected<rows> read_stream(const std::string& stream) override { return it_->read_stream(stream); }
  expected<rows> read_kind(const std::string& kind, std::uint64_t after, std::size_t most) override {
    return it_->read_kind(kind, after, most);
  }
  expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() override {
    return it_->count_kinds();
  }
  expected<store_position> position(std::uint64_t seq) override { return it_->position(seq); }

private:
  std::unique_ptr<event_store> it_;
  std::shared_ptr<faults> how_;
};

/// Sends `n` appends at once and collects the answers.
struct burst {
  static constexpr const char* name = "burst";
  burst(self_ptr self, actor_ref store, std::vector<append_records> what,
        std::vector<expected<outcomes>>* out)
      : self_(self), store_(std::move(store)), what_(std::move(what)), out_(out) {}
  behavior make_behavior() {
    out_->assign(what_.size(), fail(errc::internal, "no answer"));
    for (std::size_t i = 0; i < what_.size(); ++i)
      ask(
          self_, store_, 10s, std::move(what_[i]),
          [this, i](outcomes& done) { out_->at(i) = std::move(done); },
          [this, i](error why) { out_->at(i) = fail(std::move(why)); });
    return {[](done) {}};
  }
  self_ptr self_;
  actor_ref store_;
  std::vector<append_records> what_;
  std::vector<expected<outcomes>>* out_;
};

struct world {
  explicit world(std::uint64_t seed) : sim(seed), opener(memory_store(sim.time())) {
    store = sim.spawn<store_actor>(store_opener([this]() -> expected<std::unique_ptr<event_store>> {
      auto opened = opener();
      if (!opened) return opened;
      return std::make_unique<faulty_store>(std::move(*opened), faults);
    }));
  }
  std::vector<expected<outcomes>> send(std::vector<append_records> what) {
    std::vector<expected<outcomes>> out;
    sim.spawn<burst>(store, std::move(what), &out);
    sim.run();
    return out;
  }
  simulation sim;
  store_opener opener;
  std::shared_ptr<faulty_store::faults> faults = std::make_shared<faulty_store::faults>();
  actor_ref store;
};

} // namespace

TEST(AStoreActor, CommitsTogetherWhatWaitsInItsMailbox) { // STORE-1
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    world w(seed);
    std::vector<append_records> what;
    for (int i = 0; i < 50; ++i) what.push_back(one(std::to_string(i)));
    for (auto& answer : w.send(std::move(what))) EXPECT_TRUE(answer);
    auto metrics = w.sim.ask<store_metrics>(w.store, store_metrics_request{});
    ASSERT_TRUE(metrics);
    EXPECT_EQ(metrics->records, 50u);
    EXPECT_LE(metrics->commits, 3u) << "seed " << seed;
    EXPECT_EQ(w.sim.ask<rows>(w.store, read_kind{"kind", 48})->size(), 2u);
  }
}

TEST(AStoreActor, FailsOnlyTheRequestThatContradicts) { // STORE-2
  world w(1);
  auto answers = w.send({one("a"), one("a", "other"), one("a"), one("b")});
  ASSERT_TRUE(answers[0]);
  EXPECT_EQ(answers[1].error().code, errc::conflict);
  ASSERT_TRUE(answers[2]);
  EXPECT_FALSE(answers[2]->at(0).fresh);
  EXPECT_EQ(answers[3]->at(0).seq, 2u);
}

TEST(AStoreActor, SaysDiskFullAndRecovers) { // STORE-3
  world w(2);
  w.faults->next_append = error{errc::disk_full, "no space left"};
  auto refused = w.send({one("a"), one("b")});
  EXPECT_EQ(refused[0].error().code, errc::disk_full);
  EXPECT_EQ(refused[1].error().code, errc::disk_full);
  EXPECT_TRUE(w.sim.ask<store_metrics>(w.store, store_metrics_request{})->disk_full);
  w.faults->next_append.reset();
  EXPECT_TRUE(w.send({one("a"), one("b")})[1]);
  EXPECT_FALSE(w.sim.ask<store_metrics>(w.store, store_metrics_request{})->disk_full);
}

TEST(AStoreActor, LosesNothingAcknowledgedWhenItIsKilledAndStartedAgain) { // STORE-1, promise 4
  int lost_requests = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    world w(seed);
    std::vector<append_records> what;
    for (int i = 0; i < 8; ++i) what.push_back(one(std::to_string(i)));
    std::vector<expected<outcomes>> answers;
    w.sim.spawn<burst>(w.store, what, &answers);
    for (std::uint64_t steps = random_stream(seed).below(20); steps > 0; --steps) w.sim.step();
    kill(w.store);
    w.sim.run();
    w.store = w.sim.spawn<store_actor>(w.opener);
    auto kept = w.sim.ask<rows>(w.store, read_kind{"kind"});
    ASSERT_TRUE(kept);
    std::set<std::string> keys;
    for (auto& row : *kept) keys.insert(row.key);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i]) {
        EXPECT_TRUE(keys.contains(std::to_string(i))) << "seed " << seed << ": " << i << " was acknowledged";
      } else {
        ++lost_requests;
        EXPECT_EQ(answers[i].error().code, errc::unavailable) << "seed " << seed;
      }
    }
    for (auto& again : w.send(what)) EXPECT_TRUE(again) << "STORE-2: whoever asks again gets one record";
    EXPECT_EQ(w.sim.ask<rows>(w.store, read_kind{"kind"})->size(), 8u);
  }
  EXPECT_GT(lost_requests, 0) << "no kill came before an answer";
}

TEST(AStoreActor, LetsAReadSeeWhatItsSenderAppendedBefore) {
  world w(3);
  for (int i = 0; i < 20; ++i) {
    tell(w.store, one(std::to_string(i)));
    EXPECT_EQ(w.sim.ask<rows>(w.store, read_stream{"stream"})->size(), static_cast<std::size_t>(i) + 1);
  }
}

namespace {

/// Reads a kind and appends one record more of it at once; notes in which order the answers come.
struct reader_and_writer {
  static constexpr const char* name = "reader_and_writer";
  struct seen {
    std::string order;
    expected<rows> read = fail(errc::internal, "no answer");
  };
  reader_and_writer(self_ptr self, actor_ref store, seen* out)
      : self_(self), store_(std::move(store)), out_(out) {}
  behavior make_behavior() {
    ask(
        self_, store_, 10s, read_kind{"kind", 10},
        [this](rows& found) { out_->order += 'r', out_->read = std::move(found); },
        [this](error why) { out_->read = fail(std::move(why)); });
    ask(
        self_, store_, 10s, one("sent later"), [this](outcomes&) { out_->order += 'a'; },
        [](const error&) {});
    return {[](done) {}};
  }
  self_ptr self_;
  actor_ref store_;
  seen* out_;
};

} // namespace

TEST(AStoreActor, AnswersOthersBetweenTheSlicesOfALongRead) {
  for (const std::size_t stored : {100, 127, 128, 129, 256, 1000}) {
    world w(stored);
    std::vector<append_records> what;
    for (std::size_t i = 0; i < stored; ++i) what.push_back(one(std::to_string(i)));
    w.send(std::move(what));
    reader_and_writer::seen seen;
    w.sim.spawn<reader_and_writer>(w.store, &seen);
    w.sim.run();
    ASSERT_TRUE(seen.read) << seen.read.error().message;
    ASSERT_EQ(seen.read->size(), stored - 10) << "nothing that was sent after it";
    for (std::size_t i = 0; i < seen.read->size(); ++i) EXPECT_EQ(seen.read->at(i).seq, i + 11);
    if (stored == 1000) {
      EXPECT_EQ(seen.order, "ar");
    }
  }
}

TEST(AStoreActor, FailsALongReadThatItDoesNotFinish) {
  world w(5);
  std::vector<append_records> what;
  for (int i = 0; i < 1000; ++i) what.push_back(one(std::to_string(i)));
  w.send(std::move(what));
  reader_and_writer::seen seen;
  w.sim.spawn<reader_and_writer>(w.store, &seen);
  while (seen.order.empty()) w.sim.step(); // the append is answered, the read is under way
  kill(w.store);
  w.sim.run();
  ASSERT_FALSE(seen.read);
  EXPECT_EQ(seen.read.error().code, errc::unavailable);
}

TEST(AStoreActor, LeavesAFileThatIsWholeAloneWhenItIsStopped) {
  for (const bool killed : {false, true}) {
    test_folder folder;
    simulation sim(6);
    auto store = sim.spawn<store_actor>(file_store(folder.path / "run.db", sim.time()));
    ASSERT_TRUE(sim.ask<outcomes>(store, one("a")));
    killed ? kill(store) : request_stop(store);
    sim.run();
    // A killed one leaves the log as it is, so that its next life need not wait.
    EXPECT_EQ(std::filesystem::exists(folder.path / "run.db-wal"), killed);
    auto reader = event_store::open_reader(folder.path / "run.db", sim.time());
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ((*reader)->read_kind("kind")->size(), 1u);
  }
}

TEST(AStoreActor, EndsWithTheReasonWhenItsFileCannotBeOpened) {
  simulation sim(4);
  auto store = sim.spawn<store_actor>(file_store("/no/such/folder/run.db", sim.time()));
  auto answer = sim.ask<outcomes>(store, one("a"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, errc::unavailable);
}

TEST(AStoreActor, ServesManyAskersOnItsOwnThread) { // STORE-1, STORE-2
  test_folder folder;
  auto node = troupe::node::start({.threads = 2});
  ASSERT_TRUE(node);
  auto store =
      spawn_detached<store_actor>((*node)->system(), file_store(folder.path / "run.db", system_clock()));
  std::vector<std::vector<expected<outcomes>>> answers(8);
  std::vector<actor_ref> askers;
  for (int a = 0; a < 8; ++a) {
    std::vector<append_records> what;
    for (int i = 0; i < 100; ++i) what.push_back(one(std::to_string(a) + "/" + std::to_string(i)));
    askers.push_back(spawn_state<burst>((*node)->system(), store, std::move(what), &answers[a]));
  }
  for (int i = 0; i < 1000; ++i) {
    auto kept = (*node)->ask<rows>(store, read_kind{"kind"}, 10s);
    ASSERT_TRUE(kept) << kept.error().message;
    if (kept->size() == 800) break;
  }
  auto metrics = (*node)->ask<store_metrics>(store, store_metrics_request{}, 10s);
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->records, 800u);
  EXPECT_LT(metrics->commits, 800u) << "nothing shared a commit";
  for (auto& asker : askers) kill(asker);
  kill(store);
  askers.clear();
  store = {};
  EXPECT_TRUE((*node)->stop());
  for (auto& of_one : answers) EXPECT_EQ(of_one.size(), 100u);
}

#include "supervisor_fixture.hpp"

namespace {
using namespace troupe;
using namespace troupe::probe_world;

/// Counts what reaches it, in order.
struct mailbox {
  static constexpr const char* name = "mailbox";
  mailbox(self_ptr, std::vector<int>* out) : out_(out) {}
  behavior make_behavior() {
    return {[this](int x) { out_->push_back(x); }, [](hello) { return done{}; }};
  }
  std::vector<int>* out_;
};

/// Sends 0..n-1 at once, when told to; then asks, and notes when and what is answered.
struct writer {
  static constexpr const char* name = "writer";
  writer(self_ptr self, actor_ref whom, std::vector<std::string>* answers)
      : self_(self), whom_(std::move(whom)), answers_(answers) {}
  behavior make_behavior() {
    return {[this](int n) {
              for (int i = 0; i < n; ++i) tell(self_, whom_, i);
            },
            [this](hello) {
              ask(
                  self_, whom_, 2s, hello{}, [this](done) { answers_->push_back("done"); },
                  [this](const error& why) { answers_->push_back(std::string(to_string(why.code))); });
              return done{};
            }};
  }
  self_ptr self_;
  actor_ref whom_;
  std::vector<std::string>* answers_;
};

/// Two nodes: a writer on node 1, a mailbox on node 2.
struct two_nodes {
  explicit two_nodes(std::uint64_t seed = 1, link_faults links = {}) : sim(seed) {
    sim.nodes().links().weather(links);
    boot_reader();
    sim.nodes().boot(1, [&] { return from = sim.spawn<writer>(to, &answers); });
  }
  void boot_reader() {
    sim.nodes().boot(2, [&] { return to = sim.spawn<mailbox>(&got); });
  }
  std::vector<int> got; // outlive the simulation
  std::vector<std::string> answers;
  simulation sim;
  actor_ref from, to;
};

std::vector<int> up_to(int n) {
  std::vector<int> out;
  for (int i = 0; i < n; ++i) out.push_back(i);
  return out;
}

TEST(SimulatedNodes, AreOneNodesTimeApart) { // LINK-1
  two_nodes it(1, {.delay = 10ms, .jitter = 30ms});
  tell(it.from, 50);
  it.sim.run_for(9ms);
  EXPECT_TRUE(it.got.empty());
  it.sim.run_for(40ms);
  EXPECT_EQ(it.got, up_to(50));
}

TEST(SimulatedNodes, LoseDoubleAndReorderMessagesAsTheSeedSays) {
  std::set<std::vector<int>> orders;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    auto run = [seed] {
      two_nodes it(seed, {.delay = 1ms, .lost = 0.2, .twice = 0.2, .overtaken = 0.5, .late_by = 50ms});
      tell(it.from, 100);
      it.sim.run_for(1s);
      const auto& links = it.sim.nodes().links();
      EXPECT_EQ(it.got.size(), 100 - links.lost() + links.doubled());
      EXPECT_GT(links.lost(), 5u);
      EXPECT_GT(links.doubled(), 5u);
      EXPECT_FALSE(std::is_sorted(it.got.begin(), it.got.end()));
      return std::pair(it.got, it.sim.trace());
    };
    const auto first = run();
    EXPECT_EQ(first, run()) << "seed " << seed; // SIM-1
    orders.insert(first.first);
  }
  EXPECT_EQ(orders.size(), 5u);
}

TEST(SimulatedNodes, AskEachOtherAcrossAPartitionInVain) {
  two_nodes it;
  it.sim.nodes().links().block(2, 1); // it is heard, and hears nothing
  tell(it.from, hello{});
  it.sim.run_for(5s);
  EXPECT_EQ(it.answers, std::vector<std::string>{"timeout"});
  it.sim.nodes().links().unblock(2, 1, it.sim.time().now());
  tell(it.from, hello{});
  it.sim.run_for(5s);
  EXPECT_EQ(it.answers.back(), "done");
  EXPECT_EQ(it.answers.size(), 2u) << "an answer that waited was taken for another one's";
}

TEST(SimulatedNodes, LoseOrKeepWhatMeetsABlockedLink) { // LINK-2
  two_nodes it;
  it.sim.nodes().links().block(1, 2);
  tell(it.from, 100);
  it.sim.run_for(1s);
  EXPECT_TRUE(it.got.empty());
  it.sim.nodes().links().unblock(1, 2, it.sim.time().now());
  it.sim.run_for(1s);
  EXPECT_GT(it.got.size(), 20u);
  EXPECT_LT(it.got.size(), 80u);
  EXPECT_TRUE(std::is_sorted(it.got.begin(), it.got.end()));
}

TEST(ACrashedNode, TakesAndSendsNothingMore) { // NODES-2
  two_nodes it(1, {.delay = 10ms});
  tell(it.from, 1);
  it.sim.run_for(5ms);
  it.sim.nodes().crash(2);
  it.boot_reader();
  it.sim.run_for(1s);
  EXPECT_TRUE(it.got.empty()) << "what was on its way to the old life reached it or the new one";
  tell(it.from, hello{}); // to the old life: nobody says that it is gone
  it.sim.run_for(5s);
  EXPECT_EQ(it.answers, std::vector<std::string>{"timeout"});
}

TEST(APausedNode, TakesItsMessagesWhenItGoesOn) { // NODES-3
  two_nodes it;
  it.sim.nodes().pause(2);
  tell(it.from, 5);
  it.sim.run_for(1s);
  EXPECT_TRUE(it.got.empty());
  it.sim.nodes().resume(2);
  it.sim.run_for(1ms);
  EXPECT_EQ(it.got, up_to(5));
}

TEST(APausedNode, MayCrash) {
  two_nodes it;
  it.sim.nodes().pause(2);
  tell(it.from, 5);
  it.sim.run_for(1s);
  it.sim.nodes().crash(2);
  it.sim.run_for(1s);
  EXPECT_TRUE(it.got.empty());
  EXPECT_FALSE(it.sim.nodes().up(2));
}

} // namespace

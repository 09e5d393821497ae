#include "runtime/sim_network.hpp"
#include "supervisor_fixture.hpp"

namespace {
using namespace troupe;
using namespace troupe::probe_world;

struct keeper { // a remote store, as far as the network can tell
  static constexpr const char* name = "keeper";
  explicit keeper(self_ptr) {}
  behavior make_behavior() {
    return {[](const read_kind& m) {
      return std::vector<record>{{m.after_seq + 1, "s", m.kind, "k", "b", 0}};
    }};
  }
};
struct client {
  static constexpr const char* name = "client";
  client(self_ptr self, actor_ref peer, std::vector<std::string>* log)
      : self_(self), peer_(std::move(peer)), log_(log) {}
  behavior make_behavior() {
    self_->monitor(peer_);
    self_->set_down_handler(
        [this](caf::down_msg& d) { log_->push_back("down: " + from_caf(d.reason).message); });
    return {[this](const std::string& kind) {
      ask(
          self_, peer_, 5s, read_kind{kind, 41},
          [this](const std::vector<record>& r) {
            log_->push_back(r.at(0).kind + std::to_string(r.at(0).seq));
          },
          [this](const error& why) { log_->push_back(std::string(to_string(why.code))); });
    }};
  }
  self_ptr self_;
  actor_ref peer_;
  std::vector<std::string>* log_;
};

TEST(ASimulatedNetwork, AnswersTimesOutAcrossACutAndReportsALostPeer) { // SIMNET-2
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::vector<std::string> log;
    sim_node a, b;
    sim_network net{seed, {&a, &b}};
    auto server = spawn_state<keeper>(b.system());
    const auto line = net.new_line();
    auto remote = net.connect(a, b, "b", 4242, server, line);
    ASSERT_TRUE(remote) << remote.error().message;
    auto who = spawn_state<client>(a.system(), *remote, &log);
    tell(who, std::string("turn"));
    net.run();
    b.cut = true; // nothing crosses; the virtual clock fires the deadline
    tell(who, std::string("turn"));
    net.run_for(5s);
    b.cut = false; // the late answer is dropped
    net.run();
    net.lose(a, line);
    ASSERT_EQ(log.size(), 3u);
    EXPECT_EQ(log[0], "turn42");
    EXPECT_EQ(log[1], "timeout");
    EXPECT_EQ(log[2].substr(0, 6), "down: ");
    kill(who);
    kill(server);
    net.run();
  }
}

} // namespace

#include "runtime/message_types.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <memory>

// How a folder registers its messages: structs, their inspect, one block for what may cross a node, one line
// each.
namespace sample {
struct question { // a wire type
  std::string text;
  std::uint64_t id = 0;
};
struct line {
  std::string text;
};
TROUPE_INSPECT(question, x.text, x.id)
TROUPE_INSPECT(line, x.text)

struct apply { // a local type: it carries a function and a pointer
  std::function<int(int)> what;
  std::shared_ptr<int> total;
};
struct receipt { // a local reply
  std::shared_ptr<const std::string> text;
};
} // namespace sample

TROUPE_BEGIN_WIRE_TYPES(sample_block, troupe::first_test_type)
TROUPE_WIRE_TYPE(sample_block, sample::question)
TROUPE_WIRE_TYPE(sample_block, sample::line)
TROUPE_WIRE_TYPE(sample_block, std::vector<sample::line>)
TROUPE_END_WIRE_TYPES(sample_block)
TROUPE_LOCAL_TYPE(sample::apply)
TROUPE_LOCAL_TYPE(sample::receipt)

namespace {
using namespace troupe;
using namespace std::chrono_literals;

struct desk {
  static constexpr const char* name = "desk";
  explicit desk(self_ptr) {}
  behavior make_behavior() {
    return {
        [](const sample::question& q) {
          return std::vector<sample::line>{{q.text}, {std::to_string(q.id)}};
        },
        [](const sample::apply& a) {
          *a.total = a.what(*a.total);
          return done{};
        },
        [](list_children) { return sample::receipt{std::make_shared<const std::string>("paid")}; },
    };
  }
};

template <class T>
T round_trip(caf::actor_system& system, T what) {
  std::vector<char> bytes;
  caf::binary_serializer out{system, bytes};
  EXPECT_FALSE(out(what));
  T back{};
  caf::binary_deserializer in{system, bytes};
  EXPECT_FALSE(in(back));
  return back;
}

TEST(MessageTypes, OfBothKindsAreSentAndAnswered) {
  caf::actor_system_config config;
  wire_types_of<caf::id_block::troupe_runtime>()(config);
  wire_types_of<caf::id_block::sample_block>()(config);
  caf::actor_system system{config};
  caf::scoped_actor outside{system};
  auto who = spawn_state<desk>(system);
  auto failed = [](caf::error& e) { FAIL() << to_string(from_caf(e)); };
  outside->request(who, 5s, sample::question{"why", 7})
      .receive([](const std::vector<sample::line>& lines) { EXPECT_EQ(lines.at(1).text, "7"); }, failed);
  auto total = std::make_shared<int>(20);
  outside->request(who, 5s, sample::apply{[](int x) { return x + 1; }, total}).receive([](done) {}, failed);
  EXPECT_EQ(*total, 21);
  outside->request(who, 5s, list_children{})
      .receive([](const sample::receipt& r) { EXPECT_EQ(*r.text, "paid"); }, failed);
  kill(who);
}

TEST(WireTypes, SurviveARoundTripThroughTheSerializer) {
  caf::actor_system_config config;
  wire_types_of<caf::id_block::troupe_runtime>()(config);
  caf::actor_system system{config};
  auto message = round_trip(
      system, caf::make_message(read_kind{"turn", 9}, std::vector<record>{{4, "s", "k", "key", "b", 5}}));
  ASSERT_TRUE((message.match_elements<read_kind, std::vector<record>>()));
  EXPECT_EQ(message.get_as<read_kind>(0).after_seq, 9u);
  EXPECT_EQ(message.get_as<std::vector<record>>(1).at(0).key, "key");
  store_metrics metrics{1, 2, std::numeric_limits<double>::infinity(), true};
  EXPECT_EQ(round_trip(system, metrics).busy_seconds, metrics.busy_seconds);
}

TEST(AWireFloat, ArrivesBitByBit) { // WIRE-1
  caf::actor_system_config config;
  caf::actor_system system{config};
  using limits = std::numeric_limits<double>;
  for (double x : {0.0, -0.0, 1.5, limits::infinity(), -limits::infinity(), limits::quiet_NaN(),
                   limits::denorm_min(), limits::max()})
    EXPECT_EQ(std::bit_cast<std::uint64_t>(round_trip(system, wire::f64{x}).value),
              std::bit_cast<std::uint64_t>(x));
  EXPECT_TRUE(std::isinf(round_trip(system, wire::f32{-std::numeric_limits<float>::infinity()}).value));
}

} // namespace

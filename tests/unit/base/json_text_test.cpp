#include "runtime/base/json_text.hpp"

#include "runtime/base/json.hpp"
#include "runtime/base/random.hpp"

#include <bit>
#include <gtest/gtest.h>
#include <limits>

namespace troupe::json {
namespace {

TEST(ARecordsText, IsWhatDumpGivesForTheSameFields) {
  const std::string odd =
      std::string("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f") + "\xc3\xa9\xe2\x82\xac" + std::string(1, '\0');
  object_text inner;
  inner.field("part", 0.5);
  object_text written;
  written.field("text", odd)
      .field("least", std::numeric_limits<std::int64_t>::min())
      .field("most", std::numeric_limits<std::uint64_t>::max())
      .field("yes", true)
      .field("whole", 1.0)
      .field("none", std::numeric_limits<double>::quiet_NaN())
      .list("list", std::vector<int>{1, -2})
      .list("empty", std::vector<int>{})
      .field("inner", std::move(inner));
  object same{{"text", odd},
              {"least", std::numeric_limits<std::int64_t>::min()},
              {"most", std::numeric_limits<std::uint64_t>::max()},
              {"yes", true},
              {"whole", 1.0},
              {"none", std::numeric_limits<double>::quiet_NaN()},
              {"list", array{1, -2}},
              {"empty", array{}},
              {"inner", object{{"part", 0.5}}}};
  EXPECT_EQ(std::move(written).take(), dump(same));
  EXPECT_EQ(object_text().take(), "{}");
}

TEST(ARecordsText, GivesEveryFloatBackThatIsReadAsADoubleAndRounded) { // TEXT-1
  std::vector<float> floats{0.0f,
                            -0.0f,
                            1.0f,
                            -1.0f / 3,
                            7.038531e-26f,
                            1e30f,
                            -5.96e-8f,
                            16777216,
                            std::numeric_limits<float>::denorm_min(),
                            std::numeric_limits<float>::max()};
  random_stream draw(3, 0);
  while (floats.size() < 100'000)
    if (const auto f = std::bit_cast<float>(static_cast<std::uint32_t>(draw())); std::isfinite(f))
      floats.push_back(f);
  object_text written;
  written.list("all", floats);
  const auto read = parse(std::move(written).take());
  ASSERT_TRUE(read) << to_string(read.error());
  const auto& all = *array_at(read->get_object(), "all").value();
  ASSERT_EQ(all.size(), floats.size());
  for (std::size_t i = 0; i < floats.size(); ++i) {
    ASSERT_TRUE(all[i].is_double()) << floats[i];
    ASSERT_EQ(std::bit_cast<std::uint32_t>(static_cast<float>(all[i].get_double())),
              std::bit_cast<std::uint32_t>(floats[i]));
  }
}

} // namespace
} // namespace troupe::json

#include "gpu/torch/engine_passes.hpp"

#include "tests/unit/random_tokens.hpp"
#include <algorithm>
#include <gtest/gtest.h>
#include <memory>

namespace troupe::torch_detail {
namespace {

/// Blocks without memory: planning looks at numbers alone.
struct no_memory final : kv_memory {
  void begin(int) override {}
  void copy(int, int, int) override {}
};

struct step {
  no_memory memory;
  kv_pool pool{memory, 10'000};
  std::vector<std::unique_ptr<kv_sequence>> sequences;
  std::vector<model_row> rows;

  void add(int from, int count, bool all_wanted = false) {
    auto& sequence = *sequences.emplace_back(std::make_unique<kv_sequence>(pool));
    EXPECT_TRUE(sequence.reserve(from + count));
    for (int i = 0; i < count; ++i) rows.push_back({&sequence, from + i, 1, 1, all_wanted || i + 1 == count});
  }
};

/// PASS-1 and the sizes, for whatever was planned.
void check(const step& of, const pass_limits& limits) {
  const auto passes = plan_passes(of.rows, limits);
  std::vector<int> pass_of(of.rows.size(), -1), wanted(of.rows.size(), 0);
  for (int p = 0; p < static_cast<int>(passes.size()); ++p) {
    const auto& pass = passes[static_cast<std::size_t>(p)];
    ASSERT_EQ(pass.rows.size(), static_cast<std::size_t>(pass.sequences * pass.length));
    EXPECT_TRUE(pass.sequences == 1 || pass.sequences * pass.length <= limits.most_rows);
    EXPECT_LE(pass.length, std::max(1, limits.most_rows));
    EXPECT_TRUE(pass.sequences == 1 || std::int64_t{pass.sequences} * pass.width <= limits.most_blocks);
    EXPECT_LE(static_cast<int>(pass.wanted.size()), std::max(1, limits.most_wanted));
    EXPECT_TRUE(std::is_sorted(pass.wanted.begin(), pass.wanted.end()));
    int real = 0;
    for (std::size_t place = 0; place < pass.rows.size(); ++place) {
      if (pass.rows[place] < 0) continue;
      ++real;
      const auto row = static_cast<std::size_t>(pass.rows[place]);
      EXPECT_EQ(pass_of[row], -1) << "twice";
      pass_of[row] = p;
      EXPECT_LT(of.rows[row].position, pass.width * lanes);
      const auto first =
          place - place % static_cast<std::size_t>(pass.length); // a line of one sequence, in order
      EXPECT_EQ(of.rows[row].sequence, of.rows[static_cast<std::size_t>(pass.rows[first])].sequence);
      EXPECT_EQ(pass.rows[place], pass.rows[first] + static_cast<int>(place - first));
    }
    if (pass.decodes) {
      EXPECT_EQ(pass.sequences, padded_batch(real));
      EXPECT_EQ(pass.width, padded_width(pass.width));
    } else {
      EXPECT_GE(2 * real, pass.sequences * pass.length); // PASS-3
    }
    for (int place : pass.wanted)
      ++wanted[static_cast<std::size_t>(pass.rows[static_cast<std::size_t>(place)])];
  }
  for (std::size_t i = 0; i < of.rows.size(); ++i) {
    EXPECT_GE(pass_of[i], 0) << "left out";
    EXPECT_EQ(wanted[i], of.rows[i].wants_logits);
    if (i > 0 && of.rows[i].sequence == of.rows[i - 1].sequence) {
      EXPECT_GE(pass_of[i], pass_of[i - 1]) << "before what it looks at";
    }
  }
}

} // namespace

TEST(ThePassesOfAStep, HaveEveryRowOnceAndInOrder) { // PASS-1, PASS-3
  random_stream random(9);
  for (int round = 0; round < 300; ++round) {
    step s;
    const auto sequences = 1 + random.below(20);
    for (std::uint64_t i = 0; i < sequences; ++i)
      s.add(static_cast<int>(random.below(100)),
            random.chance(0.5) ? 1 : static_cast<int>(1 + random.below(60)), random.chance(0.2));
    const int rows = static_cast<int>(1 + random.below(64)), wanted = static_cast<int>(1 + random.below(32));
    check(s, {rows, wanted, static_cast<std::int64_t>(1 + random.below(200))});
    check(s, {});
  }
}

TEST(ThePassesOfAStep, DecodeFirstAndTogetherInFewSizes) { // PASS-2
  step s;
  s.add(0, 7);
  s.add(300, 1), s.add(20, 1), s.add(40, 1);
  s.add(5, 4);
  const auto passes = plan_passes(s.rows, {});
  ASSERT_EQ(passes.size(), 2u);
  EXPECT_TRUE(passes[0].decodes);
  EXPECT_EQ(passes[0].rows, (std::vector<int>{7, 9, 8, -1})); // the longest first
  EXPECT_EQ(passes[0].wanted, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(passes[0].width, 32); // 19 blocks
  EXPECT_EQ(passes[1].sequences, 2);
  EXPECT_EQ(passes[1].length, 7);
}

TEST(ASequenceWithOneRow, OfALongPromptsEndStaysBehindTheRest) { // PASS-1
  step s;
  s.add(0, 9);
  const auto passes = plan_passes(s.rows, {8, 8, 100});
  ASSERT_EQ(passes.size(), 2u);
  EXPECT_EQ(passes[0].length, 8);
  EXPECT_EQ(passes[1].rows, (std::vector<int>{8}));
  EXPECT_FALSE(passes[1].decodes);
}

TEST(ThePassesOfAStep, KeepShortPromptsFromPayingForLongOnes) { // PASS-3
  step s;
  s.add(0, 100);
  for (int i = 0; i < 6; ++i) s.add(0, 5);
  const auto passes = plan_passes(s.rows, {});
  ASSERT_EQ(passes.size(), 2u);
  EXPECT_EQ(passes[0].sequences * passes[0].length, 100);
  EXPECT_EQ(passes[1].sequences * passes[1].length, 30);
}

} // namespace troupe::torch_detail

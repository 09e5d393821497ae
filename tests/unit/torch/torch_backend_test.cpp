#include "gpu/cpu_backend.hpp"
#include "torch_engine_support.hpp"
#include <cstring>

/// Forward passes without a scheduler, LibTorch's and the CPU's side by side: logits of the same rows over the same blocks.
namespace troupe {
namespace {

/// A backend with sequences that a test moves forward by hand.
struct bench {
  std::unique_ptr<model_backend> backend;
  kv_pool pool;
  std::map<int, std::unique_ptr<kv_sequence>> sequences{};
  std::vector<model_row> rows{};

  bench(std::unique_ptr<model_backend> of, const weights_ptr& weights)
      : backend(std::move(of)), pool(*backend, 60) {
    backend->set_weights(weights);
  }
  kv_sequence& sequence(int id) {
    auto& out = sequences[id];
    if (!out) out = std::make_unique<kv_sequence>(pool);
    return *out;
  }
  /// The next tokens of a sequence, in the next pass; logits of the last, of all or of none.
  void add(int id, const std::vector<token>& tokens, int wanted) {
    auto& kv = sequence(id);
    const int from = kv.size(), count = static_cast<int>(tokens.size());
    ASSERT_TRUE(kv.reserve(from + count));
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const token before = i > 0 ? tokens[at - 1] : from > 0 ? kv.tokens().back() : -1;
      rows.push_back({&kv, from + i, tokens[at], before, wanted > 0 || (wanted == 0 && i + 1 == count)});
    }
  }
  /// Logits by row of the pass, which is over then.
  std::map<int, std::vector<float>> run(int width) {
    std::map<int, std::vector<float>> out;
    backend->forward(rows, [&](int row, float* logits, int) {
      EXPECT_TRUE(out.emplace(row, std::vector<float>(logits, logits + width)).second) << "twice"; // BACK-3
    });
    for (const auto& row : rows) const_cast<kv_sequence*>(row.sequence)->append(row.current);
    rows.clear();
    return out;
  }
};

struct both {
  weights_ptr weights;
  bench cpu, torch;

  explicit both(weights_ptr w, const torch_detail::torch_backend_options& options = {.device = "plain"})
      : weights(w),
        cpu(std::make_unique<cpu_backend>(
                w->config, engine_limits{},
                kernel_set{&kernels_for(best_instruction_set()), &portable_quantised_kernels}),
            w),
        torch(std::move(*torch_detail::make_torch_backend(w->config, {.max_kv_tokens = 60 * lanes}, options)),
              w) {}

  void add(int id, const std::vector<token>& tokens, int wanted = 0) {
    for (auto* one : {&cpu, &torch}) one->add(id, tokens, wanted);
  }
  void expect_same() {
    const int vocabulary = weights->config.vocab_size, width = padded(vocabulary);
    const auto wanted = cpu.run(width), got = torch.run(width);
    ASSERT_EQ(wanted.size(), got.size());
    for (const auto& [row, logits] : wanted)
      for (int t = 0; t < width; ++t) {
        const float here = got.at(row)[static_cast<std::size_t>(t)];
        if (t < vocabulary)
          EXPECT_NEAR(here, logits[static_cast<std::size_t>(t)], 2e-4) << "row " << row << ", token " << t;
        else
          EXPECT_EQ(here, -INFINITY);
      }
  }
};

} // namespace

TEST(ForwardPasses, OfBothBackendsGiveTheLogitsOfTheRowsThatWantThem) { // BACK-1, BACK-3
  for (const auto& config : {tiny(), families()[2], families()[5]}) {
    random_stream random(4);
    both two(lively(config, 8));
    two.add(1, random_tokens(random, 33), 1); // all logits, and more than two blocks
    two.add(2, random_tokens(random, 1));
    two.add(3, random_tokens(random, 16), -1);
    two.expect_same();
    for (int i = 0; i < 5;
         ++i) { // the longest one decodes without being asked: places are not in the order of those that are
      two.add(3, random_tokens(random, 1));
      two.add(1, random_tokens(random, 1), i % 2 == 0 ? -1 : 0);
      two.add(2, random_tokens(random, 1));
      two.add(4, random_tokens(random, 7));
      two.expect_same();
    }
  }
}

TEST(ForwardPasses, OfBothBackendsShareBlocksAndCopyTheirBeginnings) { // KV-2
  random_stream random(5);
  both two(lively(tiny(), 9));
  two.add(1, random_tokens(random, 40));
  two.expect_same();
  for (auto* one : {&two.cpu, &two.torch}) {
    ASSERT_TRUE(one->sequence(2).adopt(one->sequence(1), 37)); // two blocks shared, five positions copied
    ASSERT_TRUE(one->sequence(3).adopt(one->sequence(1), 32));
  }
  for (int id : {1, 2, 3}) two.add(id, random_tokens(random, 3), 1);
  two.expect_same();
  for (auto* one : {&two.cpu, &two.torch}) one->sequence(1).truncate(34), one->sequence(2).truncate(0);
  for (int id : {1, 2, 3}) two.add(id, random_tokens(random, 20), 1);
  two.expect_same();
}

TEST(LogitsOfBfloat16Products, AreNotRoundedToBfloat16Themselves) {
  const auto weights = lively(families()[0], 8);
  bench one(
      std::move(*torch_detail::make_torch_backend(
          weights->config, {.max_kv_tokens = 60 * lanes, .mode = arithmetic::fast}, {.device = "plain"})),
      weights);
  random_stream random(6);
  one.add(1, random_tokens(random, 30), 1);
  int rounded = 0, all = 0;
  for (const auto& [row, logits] : one.run(weights->config.vocab_size))
    for (float x : logits) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, &x, sizeof bits);
      rounded += (bits & 0xffff) == 0, ++all;
    }
  EXPECT_LT(rounded, all / 50);
}

} // namespace troupe

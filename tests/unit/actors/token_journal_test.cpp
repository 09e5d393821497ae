#include "actors/engine/token_journal.hpp"

#include "gpu/weights.hpp"
#include <cstdio>
#include <gtest/gtest.h>

namespace troupe {
namespace {

model_config tiny() {
  return {.vocab_size = 100,
          .hidden_size = 32,
          .num_hidden_layers = 2,
          .num_attention_heads = 2,
          .num_key_value_heads = 2,
          .head_dim = 16,
          .intermediate_size = 48,
          .max_position_embeddings = 160};
}

weights_ptr weights(std::uint64_t seed) {
  return std::make_shared<const model_weights>(initial_weights(tiny(), seed));
}

std::unique_ptr<engine_core> engine(std::uint64_t seed, std::uint64_t version) {
  auto made = make_cpu_engine(tiny(), {});
  EXPECT_TRUE(made);
  (*made)->set_weights(weights(seed), version, kv_policy::recompute);
  return std::move(*made);
}

generate_request request(std::uint64_t sequence, int tokens) {
  generate_request out;
  out.sequence = sequence;
  for (int i = 0; i < 12; ++i)
    out.context.push_back(static_cast<token>((7 * i + static_cast<int>(sequence)) % 100));
  out.max_new_tokens = tokens;
  out.sampling = {.temperature = 1.1, .top_p = 0.95, .top_k = 40};
  out.seed = 42;
  out.stream = true;
  return out;
}

/// A store of one kind.
struct log {
  std::vector<record> records;
  std::uint64_t append(const new_record& r) {
    const auto seq = records.size() + 1;
    records.push_back({seq, r.stream, r.kind, r.key, r.body, 0});
    return seq;
  }
  void take(token_journal& from, std::uint64_t lineage = 0) {
    if (auto r = from.unwritten(lineage)) from.written(append(*r));
  }
  token_journal read(const std::vector<std::uint64_t>& undone = {}) const {
    token_journal out;
    const auto from = token_journal::needed_from(records);
    EXPECT_TRUE(from);
    std::vector<record> needed;
    for (const auto& r : records)
      if (r.seq >= *from) needed.push_back(r);
    EXPECT_TRUE(out.read(needed, undone));
    return out;
  }
};

struct outcome {
  std::vector<token> tokens;
  std::vector<float> logprobs;
  std::vector<std::uint64_t> versions;
  bool operator==(const outcome&) const = default;
};

outcome whole(engine_core& core, const generate_request& what) {
  EXPECT_TRUE(core.submit(what));
  std::vector<generated> finished;
  while (core.step(finished)) {
  }
  EXPECT_EQ(finished.size(), 1u);
  return {finished[0].tokens, finished[0].logprobs, finished[0].versions};
}

void sampled(token_journal& into, std::uint64_t sequence, std::size_t index, std::uint64_t version = 0) {
  into.add({sequence, index, static_cast<token>(index), -0.5f * static_cast<float>(index + 1), version}, 0);
}

TEST(ATurnThatGoesOnAfterACrashAtAnyToken, IsTokenForTokenTheOneThatWasNotInterrupted) { // JRN-1
  const auto asked = request(5, 24);
  const auto expected = whole(*engine(1, 3), asked);
  ASSERT_EQ(expected.tokens.size(), 24u);
  for (std::size_t durable = 1; durable <= 24; ++durable) {
    SCOPED_TRACE("a crash after " + std::to_string(durable) + " durable tokens");
    log disk;
    {
      auto core = engine(1, 3);
      token_journal journal;
      journal.begin(asked);
      ASSERT_TRUE(core->submit(asked));
      std::vector<generated> finished;
      std::vector<token_news> news;
      for (std::size_t n = 0; n < durable;) {
        news.clear();
        core->step(finished, &news);
        for (const auto& one : news) journal.add(one, 0);
        n += news.size();
        if (n % 3 == 0 || n == durable) disk.take(journal); // several tokens a record, and one
      }
    }
    auto read = disk.read();
    const auto* known = read.find(asked);
    ASSERT_TRUE(known);
    ASSERT_EQ(known->tokens.size(), durable);
    outcome got{known->tokens, known->logprobs, known->versions};
    if (durable < 24) {
      auto on = asked;
      on.context.insert(on.context.end(), known->tokens.begin(), known->tokens.end());
      on.max_new_tokens -= static_cast<int>(durable);
      const auto rest = whole(*engine(1, 3), on);
      got.tokens.insert(got.tokens.end(), rest.tokens.begin(), rest.tokens.end());
      got.logprobs.insert(got.logprobs.end(), rest.logprobs.begin(), rest.logprobs.end());
      got.versions.insert(got.versions.end(), rest.versions.begin(), rest.versions.end());
    }
    EXPECT_EQ(got, expected);
  }
}

TEST(TheJournal, IsNoOtherTurns) { // JRN-1
  log disk;
  token_journal journal;
  const auto asked = request(5, 24);
  journal.begin(asked);
  for (std::size_t i = 0; i < 4; ++i) sampled(journal, 5, i);
  disk.take(journal);
  auto longer = asked, other = asked, elsewhere = asked;
  longer.context.push_back(1);
  other.context[3] += 1;
  elsewhere.sequence = 6;
  const auto read = disk.read();
  EXPECT_TRUE(read.find(asked));
  EXPECT_FALSE(read.find(longer));
  EXPECT_FALSE(read.find(other));
  EXPECT_FALSE(read.find(elsewhere));
}

TEST(TheJournal, TakesNothingThatDoesNotFollowWhatItHas) { // JRN-1
  log disk;
  token_journal first, second;
  const auto asked = request(5, 24);
  first.begin(asked);
  for (std::size_t i = 0; i < 4; ++i) sampled(first, 5, i);
  disk.take(first);
  for (std::size_t i = 4; i < 8; ++i) sampled(first, 5, i);
  auto late = *first.unwritten(0); // a dead engine's last record: it comes after its next life's
  second = disk.read();
  second.begin(asked);
  second.add({5, 0, 77, -1.0f, 1}, 4);
  ASSERT_TRUE(second.has_unwritten());
  auto mine = *second.unwritten(0);
  second.written(disk.append(mine));
  disk.append(late);
  second.add({5, 1, 78, -1.0f, 1}, 4);
  disk.take(second);
  const auto read = disk.read();
  const auto* known = read.find(asked);
  ASSERT_TRUE(known);
  // The other life's tokens, all of them; or this one's. Never some of each.
  EXPECT_EQ(known->tokens, (std::vector<token>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(TheJournal, LosesTheTokensOfWeightsThatARollbackUndid) { // JRN-2
  log disk;
  token_journal journal;
  const auto one = request(1, 24), two = request(2, 24);
  journal.begin(one), journal.begin(two);
  for (std::size_t i = 0; i < 6; ++i) sampled(journal, 1, i, i < 3 ? 4 : 5), sampled(journal, 2, i, 4);
  disk.take(journal);
  EXPECT_EQ(disk.read().find(one)->tokens.size(), 6u);
  const auto undone = disk.read({4}); // back to version 4
  EXPECT_EQ(undone.find(one)->tokens.size(), 3u);
  EXPECT_EQ(undone.find(two)->tokens.size(), 6u);
  EXPECT_FALSE(disk.read({3}).find(one));
  EXPECT_EQ(journal.roll_back(4), std::vector<std::uint64_t>{1}); // a living engine's
  EXPECT_EQ(journal.find(one)->tokens.size(), 3u);
  sampled(journal, 1, 3, 4);
  disk.take(journal, 1); // of the weights after it: stays
  const auto* again = disk.read({4}).find(one);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->versions, (std::vector<std::uint64_t>{4, 4, 4, 4}));
}

TEST(TheJournal, WritesNoTurnThatIsToldAndNothingTwice) {
  token_journal journal;
  journal.begin(request(1, 24));
  sampled(journal, 1, 0);
  auto first = journal.unwritten(0);
  ASSERT_TRUE(first);
  journal.refused(false);
  EXPECT_EQ(journal.unwritten(0)->body, first->body); // it did not arrive: the same once more
  journal.written(1);
  EXPECT_FALSE(journal.unwritten(0));
  sampled(journal, 1, 1);
  journal.told(1);
  EXPECT_FALSE(journal.has_unwritten());
  EXPECT_FALSE(journal.unwritten(0));
}

TEST(TheJournal, StaysShortToReadHoweverLongTheRun) { // JRN-3
  log disk;
  token_journal journal;
  auto slow = request(1, 24);
  journal.begin(slow);
  sampled(journal, 1, 0);
  disk.take(journal);
  std::size_t most = 0;
  for (std::size_t i = 0; i < 5000; ++i) { // others come and go
    const auto quick = request(2 + i, 24);
    journal.begin(quick);
    sampled(journal, 2 + i, 0);
    disk.take(journal);
    journal.told(2 + i);
    journal.forget(2 + i);
    const auto from = token_journal::needed_from(disk.records);
    ASSERT_TRUE(from);
    most = std::max(most, static_cast<std::size_t>(disk.records.size() - *from));
  }
  EXPECT_LE(most, token_journal::span + 20);
  EXPECT_TRUE(disk.read().find(slow));
  // What was read back and nobody asks for does not keep the past alive.
  auto next = disk.read();
  for (std::size_t i = 0; i < 2000; ++i) {
    const auto quick = request(9000 + i, 24);
    next.begin(quick);
    sampled(next, 9000 + i, 0);
    disk.take(next);
    next.forget(9000 + i);
  }
  EXPECT_LE(disk.records.size() - *token_journal::needed_from(disk.records), 20u);
}

TEST(TheJournal, SaysOfWhatItWroteThatItIsForgotten) { // JRN-3
  log disk;
  token_journal journal;
  const auto over = request(1, 24), again = request(2, 24), other = request(3, 24);
  journal.begin(over), journal.begin(again);
  sampled(journal, 1, 0), sampled(journal, 2, 0);
  disk.take(journal);
  journal.forget(1), journal.forget(2);
  EXPECT_FALSE(journal.has_unwritten()) << "that alone is worth no record";
  EXPECT_TRUE(disk.read().find(over));
  journal.begin(again), journal.begin(other); // another life of its rollout
  sampled(journal, 2, 0), sampled(journal, 3, 0);
  ASSERT_TRUE(journal.unwritten(0));
  journal.refused(false); // it did not arrive
  disk.take(journal);
  EXPECT_FALSE(disk.read().find(over));
  EXPECT_TRUE(disk.read().find(again));
  EXPECT_TRUE(disk.read().find(other));
  sampled(journal, 3, 1);
  const auto before = disk.records.back().body.size();
  disk.take(journal);
  EXPECT_LT(disk.records.back().body.size(), before) << "it says so once";
}

TEST(TheJournal, TakesAFewBytesAToken) {
  log disk;
  token_journal journal;
  constexpr std::uint64_t sequences = 96;
  std::uint64_t bytes = 0;
  for (std::uint64_t s = 0; s < sequences; ++s) {
    auto r = request((std::uint64_t{1} << 60) | ((1000 + s / 8) << 12) | s % 8, 40);
    journal.begin(r);
    for (std::size_t i = 0; i < 40; ++i)
      journal.add({r.sequence, i, static_cast<token>(i * 25), -0.123f, 57}, 0);
  }
  disk.take(journal);
  bytes = disk.records.back().body.size();
  EXPECT_LT(static_cast<double>(bytes) / (sequences * 40), 8.0);
}

TEST(TheJournal, RefusesWhatIsNone) {
  for (std::string body :
       {std::string(), std::string("{}"), std::string("\x01\x00", 2), std::string("\x01\x00\x00\x05", 4)}) {
    const record bad{1, "tokens", "tokens", "tokens/0", body, 0};
    token_journal journal;
    const bool refused = !token_journal::needed_from({bad}) || !journal.read({bad}, {});
    EXPECT_TRUE(refused) << body.size();
  }
}

} // namespace
} // namespace troupe

#include "runtime/store_index.hpp"

#include "runtime/base/random.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace troupe {

namespace {

/// What an index must answer, the slow way.
struct plain_index {
  struct row {
    std::string stream, kind;
    std::uint32_t key_hash, checksum;
  };
  std::vector<row> rows;

  template <class Matches>
  std::vector<std::uint64_t> where(const Matches& matches) const {
    std::vector<std::uint64_t> out;
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (matches(rows[i])) out.push_back(i + 1);
    return out;
  }
};

void expect_same(const store_index& index, const plain_index& model, int streams, std::uint32_t hashes) {
  ASSERT_EQ(index.size(), model.rows.size());
  for (int s = 0; s < streams; ++s) {
    const auto name = "stream" + std::to_string(s);
    const auto hash = store_index::hash_of(name);
    EXPECT_EQ(index.of_stream(name),
              model.where([&](const auto& r) { return store_index::hash_of(r.stream) == hash; }));
  }
  for (std::uint32_t hash = 0; hash < hashes; ++hash) {
    auto found = index.candidates(hash);
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, model.where([&](const auto& r) { return r.key_hash == hash; }));
  }
  for (const char* kind : {"a", "b", "none"}) {
    const auto after = model.rows.size() / 2;
    const auto found = index.of_kind(kind, after);
    auto expected = model.where([&](const auto& r) { return r.kind == kind; });
    std::erase_if(expected, [&](std::uint64_t seq) { return seq <= after; });
    EXPECT_EQ(std::vector<std::uint64_t>(found.begin(), found.end()), expected);
  }
}

} // namespace

TEST(AStoreIndex, KnowsWhatWasAddedAndNotWhatWasTakenBack) {
  // Few hashes, so that places collide, wrap around and move up when one before them is taken out.
  constexpr std::uint32_t hashes = 40;
  constexpr int streams = 12;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    random_stream draw(seed);
    store_index index;
    plain_index model;
    for (int round = 0; round < 60; ++round) {
      const auto kept = model.rows.size();
      for (auto n = draw.below(20); n > 0; --n) {
        plain_index::row row{"stream" + std::to_string(draw.below(streams)), draw.below(3) ? "a" : "b",
                             static_cast<std::uint32_t>(draw.below(hashes)),
                             static_cast<std::uint32_t>(draw())};
        index.add(row.stream, row.kind, row.key_hash, row.checksum);
        model.rows.push_back(row);
      }
      const auto chain = index.chain(index.size());
      if (draw.below(2)) { // a commit that failed, in whole or in part
        const auto to = kept + draw.below(model.rows.size() - kept + 1);
        const auto before = index.chain(to);
        index.forget_after(to);
        model.rows.resize(to);
        EXPECT_EQ(index.chain(to), before);
      } else
        EXPECT_EQ(index.chain(index.size()), chain);
      index.keep();
    }
    expect_same(index, model, streams, hashes);
  }
}

} // namespace troupe

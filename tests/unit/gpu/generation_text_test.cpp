#include "gpu/text/generation_text.hpp"

#include "runtime/base/random.hpp"
#include <gtest/gtest.h>

namespace troupe {
namespace {

/// Every byte is a token: two specials, then the bytes in order.
const tokenizer& bytes() {
  static const auto it = *tokenizer::train({}, 258, {"<|end|>", "<|x|>"});
  return it;
}

std::vector<token> ids(std::string_view text) { return bytes().encode(text); }

struct shown {
  std::string text, stop;
};

shown run(const std::vector<token>& tokens, const text_limits& limits) {
  generation_text text(bytes(), limits);
  shown out;
  for (token id : tokens) {
    out.text += text.push(id);
    if (text.stopped_by()) break;
  }
  out.text += text.finish();
  out.stop = text.stopped_by().value_or("");
  return out;
}

TEST(ATextBeingGenerated, EndsBeforeItsStopString) { // GTX-1
  const auto got = run(ids("one two three"), {.stop = {" th"}});
  EXPECT_EQ(got.text, "one two");
  EXPECT_EQ(got.stop, " th");
  EXPECT_EQ(run(ids("one two three"), {.stop = {" th"}, .include_stop = true}).text, "one two th");
  EXPECT_EQ(run(ids("one two three"), {.stop = {"four"}}).text, "one two three");
}

TEST(ATextBeingGenerated, HoldsBackOnlyWhatMayBecomeAStopString) { // GTX-2
  generation_text text(bytes(), {.stop = {"abcd"}});
  EXPECT_EQ(text.push(ids("x")[0]), "x");
  EXPECT_EQ(text.push(ids("a")[0]), "");
  EXPECT_EQ(text.push(ids("b")[0]), "");
  EXPECT_EQ(text.push(ids("a")[0]), "ab");
  EXPECT_EQ(text.push(ids("b")[0]), "");
  EXPECT_EQ(text.push(ids("c")[0]), "");
  EXPECT_EQ(text.finish(), "abc");
}

TEST(ATextBeingGenerated, NeverSplitsACharacter) {
  generation_text text(bytes(), {});
  std::string all;
  for (token id : ids("a€😀é")) {
    const auto piece = text.push(id);
    all += piece;
    EXPECT_EQ(piece.find("\xEF\xBF\xBD"), std::string::npos);
  }
  EXPECT_EQ(all + text.finish(), "a€😀é");
}

TEST(ATextBeingGenerated, ShowsSpecialTokensOnlyIfAsked) {
  std::vector<token> tokens = ids("a");
  tokens.push_back(0);
  tokens.push_back(1);
  EXPECT_EQ(run(tokens, {}).text, "a");
  EXPECT_EQ(run(tokens, {.skip_special = false}).text, "a<|end|><|x|>");
  EXPECT_EQ(run(tokens, {.shown = {1}}).text, "a<|x|>");
}

TEST(ATextBeingGenerated, CountsStopStringsOnlyBehindTheLeastNumberOfTokens) {
  EXPECT_EQ(run(ids("ababab"), {.stop = {"ab"}, .min_tokens = 3}).text, "abab")
      << "the one that ends in token 6";
  EXPECT_EQ(run(ids("ababab"), {.stop = {"ab"}, .min_tokens = 2}).text, "ab");
}

/// Against the definition, character by character, for random texts over a small alphabet cut into random tokens.
TEST(ATextBeingGenerated, DoesNotDependOnHowItWasCutIntoTokens) { // GTX-1
  const auto words = *tokenizer::train({"abab abba baab bbaa aabb"}, 275, {"<|end|>"});
  random_stream random(5);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (auto n = random.below(12); n-- > 0;) text += "ab c"[random.below(4)];
    std::vector<std::string> stops;
    for (auto n = random.below(3); n-- > 0;) {
      auto& stop = stops.emplace_back();
      for (auto k = 1 + random.below(3); k-- > 0;) stop += "ab"[random.below(2)];
    }
    std::string expected = text;
    for (std::size_t end = 1; end <= text.size();
         ++end) { // the first stop string to be complete, the longest of those
      std::size_t longest = 0;
      for (const auto& stop : stops)
        if (std::string_view(text).substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
      if (longest > 0) {
        expected = text.substr(0, end - longest);
        break;
      }
    }
    for (const auto* which : {&words, &bytes()}) {
      generation_text got(*which, {.stop = stops});
      std::string all;
      for (token id : which->encode(text)) all += got.push(id);
      all += got.finish();
      ASSERT_EQ(all, expected) << text;
    }
  }
}

} // namespace
} // namespace troupe

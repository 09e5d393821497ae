#include "gpu/bpe.hpp"
#include "gpu/tokenizer.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/random.hpp"
#include <filesystem>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <regex>

namespace troupe {
namespace {

const std::vector<std::string> specials{"<|user|>", "<|assistant|>", "<|end|>"};

std::vector<std::string> sample_texts() {
  std::vector<std::string> out;
  for (int i = 0; i < 50; ++i)
    out.push_back("The capital of Country" + std::to_string(i % 7) + " is City; population " +
                  std::to_string(i * 31) + " thousand. {\"name\":\"search\"} caf\xC3\xA9  <|user|> \n\tend");
  return out;
}

tokenizer small_tokenizer() { return *tokenizer::train(sample_texts(), 400, specials); }

std::filesystem::path scratch(const std::string& name) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "troupe_tokenizer_test";
  std::filesystem::create_directories(folder);
  return folder / name;
}

TEST(ATokenizer, RoundTripsAnyBytesThroughEncodeAndDecode) {
  const auto t = small_tokenizer();
  EXPECT_TRUE(rc::check([&](const std::string& bytes) { RC_ASSERT(t.decode(t.encode(bytes)) == bytes); }));
  random_stream random(7);
  for (int round = 0; round < 200; ++round) { // bytes of every value, and runs of text that it was trained on
    std::string bytes;
    for (auto n = random.below(300); n > 0; --n)
      bytes += random.chance(0.3) ? std::string("The capital of ")
                                  : std::string(1, static_cast<char>(random.below(256)));
    EXPECT_EQ(t.decode(t.encode(bytes)), bytes);
  }
}

TEST(ATokenizer, NeverReadsASpecialTokenOutOfPlainText) {
  const auto t = small_tokenizer();
  for (const auto text : {"<|user|>", "x<|end|>y", "<|user|><|assistant|>"})
    for (token id : t.encode(text)) EXPECT_FALSE(t.is_special(id)) << text;
  // not even where training saw the name so often that its pieces would have merged into it
  const auto seen = *tokenizer::train(std::vector<std::string>(100, "<|user|>"), 600, specials);
  for (token id : seen.encode("<|user|>")) EXPECT_FALSE(seen.is_special(id));
  EXPECT_EQ(seen.decode(seen.encode("<|user|>")), "<|user|>");
}

TEST(ATokenizer, EncodesPiecesAsSpecialIdsAndPlainText) {
  const auto t = small_tokenizer();
  const auto ids =
      t.encode(std::vector<text_piece>{{true, "<|user|>"}, {false, "hi <|end|>"}, {true, "<|end|>"}});
  EXPECT_EQ(ids.front(), *t.special("<|user|>"));
  EXPECT_EQ(ids.back(), *t.special("<|end|>"));
  for (std::size_t i = 1; i + 1 < ids.size(); ++i) EXPECT_FALSE(t.is_special(ids[i]));
  EXPECT_EQ(t.decode(ids), "<|user|>hi <|end|><|end|>");
}

TEST(ATokenizer, GivesSpecialsTheFirstIdsThenTheBytesInOrder) {
  const auto t = small_tokenizer();
  EXPECT_EQ(*t.special("<|user|>"), 0);
  EXPECT_EQ(*t.special("<|end|>"), 2);
  EXPECT_EQ(t.encode("\x01"), std::vector<token>{3 + 1});
  EXPECT_EQ(t.decode({3 + 'A'}), "A");
  EXPECT_EQ(t.special("<|nobody|>").error().code, errc::not_found);
  EXPECT_FALSE(t.is_special(-1));
  EXPECT_FALSE(t.is_special(1 << 20));
  EXPECT_EQ(t.decode({-1, 1 << 20}), "");
}

TEST(ATokenizer, LearnsTheMostFrequentPairFirst) {
  // "aaab": pairs aa (2), ab (1) per text; then (aa)a and ab tie at one per text, and the smaller ids win
  const auto t = *tokenizer::train({"aaab aaab", "aaab"}, 256 + 3, {});
  EXPECT_EQ(t.decode({256}), "aa");
  EXPECT_EQ(t.decode({257}), "ab");
  EXPECT_EQ(t.decode({258}), "aaab");
  EXPECT_EQ(t.encode("aaab"), std::vector<token>{258});
}

TEST(ATokenizer, StopsEarlyWhenNoPairOccursTwice) {
  EXPECT_EQ(tokenizer::train({"abc"}, 1000, {})->vocab_size(), 256);
  const auto bad = tokenizer::train({"abc"}, 200, {});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, errc::invalid);
  EXPECT_EQ(tokenizer::train({}, 300, {"<|a|>", "<|a|>"}).error().code, errc::invalid);
}

TEST(ATokenizer, MergesLongPiecesAsItMergesShortOnes) {
  const auto t = small_tokenizer();
  std::string text; // one piece, longer than the limit at which the other algorithm takes over
  for (int i = 0; i < 40; ++i) text += i % 3 ? "capital" : "population";
  const auto ids = t.encode(text);
  EXPECT_EQ(t.decode(ids), text);
  std::vector<token> merged; // the rule itself: always the pair of least rank, leftmost first
  for (unsigned char byte : text) merged.push_back(3 + byte);
  for (bool again = true; again;) {
    again = false;
    for (token result = 259; result < t.vocab_size() && !again; ++result)
      for (std::size_t i = 0; i + 1 < merged.size(); ++i)
        if (t.decode({merged[i], merged[i + 1]}) == t.decode({result}) &&
            t.encode(t.decode({result})).size() == 1) {
          merged[i] = result;
          merged.erase(merged.begin() + static_cast<std::ptrdiff_t>(i) + 1);
          again = true;
          break;
        }
  }
  EXPECT_EQ(ids, merged);
}

TEST(ATokenizer, EncodesAMegabyteWithoutASpaceInReasonableTime) {
  const auto t = small_tokenizer();
  const std::string text(1 << 20, 'a');
  EXPECT_EQ(t.decode(t.encode(text)), text);
}

TEST(ATokenizer, SplitsPiecesByTheRuleItSaves) {
  const std::regex rule(
      " ?[A-Za-z]+|[0-9]| ?[!-/:-@\\[-`{-~\x01-\x08]+|[\\t-\\r ]+(?![^\\t-\\r ])|[\\t-\\r ]+");
  random_stream random(3);
  const std::string alphabet = "ab Z 01  \n\t.,<{\x02 ";
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (auto n = random.below(20) + 1; n > 0; --n) text += alphabet[random.below(alphabet.size())];
    std::vector<std::string> expected_pieces, pieces;
    for (std::sregex_iterator i(text.begin(), text.end(), rule), end; i != end; ++i)
      expected_pieces.push_back(i->str());
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(pieces.back().size()))
      pieces.emplace_back(next_piece(rest));
    EXPECT_EQ(pieces, expected_pieces) << text;
  }
}

TEST(ATokenizerFile, LoadsWhatItSaved) {
  const auto t = small_tokenizer();
  const auto file = scratch("tokenizer.json");
  ASSERT_TRUE(t.save(file));
  const auto again = tokenizer::load(file);
  ASSERT_TRUE(again) << to_string(again.error());
  EXPECT_EQ(again->vocab_size(), t.vocab_size());
  for (const auto& text : sample_texts()) EXPECT_EQ(again->encode(text), t.encode(text));
  EXPECT_EQ(*again->special("<|end|>"), *t.special("<|end|>"));
  EXPECT_TRUE(again->is_special(1));
}

TEST(ATokenizerFile, SaysWhatIsWrongWithIt) {
  const auto file = scratch("bad.json");
  EXPECT_EQ(tokenizer::load(scratch("absent.json")).error().code, errc::not_found);
  ASSERT_TRUE(write_file_atomically(file, "{\"model\":"));
  EXPECT_EQ(tokenizer::load(file).error().code, errc::corrupt);
  ASSERT_TRUE(write_file_atomically(file, "{\"model\":{\"type\":\"WordPiece\"}}"));
  EXPECT_EQ(tokenizer::load(file).error().code, errc::invalid);

  ASSERT_TRUE(small_tokenizer().save(file));
  const auto good = *read_file(file);
  auto with = [&](const std::string& from, const std::string& to) {
    auto text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    text.replace(at, from.size(), to);
    EXPECT_TRUE(write_file_atomically(file, text));
    return tokenizer::load(file);
  };
  EXPECT_EQ(with("|[0-9]|", "|[0-9|").error().code, errc::invalid); // a split that is no regular expression
  EXPECT_EQ(with("\"a\":100", "\"a\":101").error().code, errc::corrupt); // an id twice
  EXPECT_EQ(with("\"merges\":[[\"", "\"merges\":[[\"zq").error().code,
            errc::corrupt); // a symbol nobody knows
  EXPECT_EQ(with("\"id\":0", "\"id\":7").error().code, errc::invalid);
  for (std::size_t cut = 0; cut < good.size(); cut += 97) { // any truncation is an error, never a crash
    ASSERT_TRUE(write_file_atomically(file, good.substr(0, cut)));
    EXPECT_FALSE(tokenizer::load(file));
  }
}

TEST(TokenizerTraining, IsTheSameEveryTime) {
  const auto a = small_tokenizer(), b = small_tokenizer();
  ASSERT_EQ(a.vocab_size(), b.vocab_size());
  for (token id = 0; id < a.vocab_size(); ++id) EXPECT_EQ(a.decode({id}), b.decode({id}));
}

} // namespace
} // namespace troupe

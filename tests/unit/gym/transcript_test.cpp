#include "gym/transcript.hpp"

#include "support.hpp"
#include <gtest/gtest.h>
#include <limits>

namespace troupe {
namespace {

transcript sample() {
  return {"r1",
          test::question(),
          episode_end::answered,
          verdict{1.0, true, {{"correctness", 1.0}, {"format", 0.0}}, 1},
          {{speaker::user, "What is the capital of France?", 8, {}, {}},
           {speaker::assistant, "<answer>Paris</answer>", 4, {{3, 4}}, -0.25}}};
}

TEST(ATranscript, HasTheKeysOfTheContract) {
  EXPECT_EQ(
      json::dump(to_json(sample())),
      R"({"id":"r1","task":"q1","question":"What is the capital of France?","answers":["Paris"],"correct":true,"reward":1.0,)"
      R"("parts":{"correctness":1.0,"format":0.0},"end":"answered","turns":[{"role":"user","text":"What is the capital of France?","tokens":8},)"
      R"({"role":"assistant","text":"<answer>Paris</answer>","tokens":4,"versions":[3,4],"mean_logprob":-0.25}]})");
}

TEST(ATranscriptOfAnUnfinishedEpisode, HasNoVerdictAndNoMadeUpNumber) {
  auto it = sample();
  it.judged.reset();
  it.end = episode_end::running;
  it.turns[1].versions.reset();
  it.turns[1].mean_logprob = -std::numeric_limits<double>::infinity();
  const auto out = to_json(it);
  EXPECT_TRUE(out.at("correct").is_null());
  EXPECT_TRUE(out.at("reward").is_null());
  EXPECT_EQ(out.at("end"), "running");
  EXPECT_TRUE(out.at("turns").as_array()[1].at("versions").is_null());
  EXPECT_TRUE(out.at("turns").as_array()[1].at("mean_logprob").is_null());
}

TEST(ATranscriptAsText, ShowsEveryTurnAndTheVerdict) {
  EXPECT_EQ(to_text(sample()),
            "rollout r1, task q1\n"
            "user  8 tokens\n  What is the capital of France?\n"
            "assistant  4 tokens, versions 3-4, mean logprob -0.25\n  <answer>Paris</answer>\n"
            "end: answered, correct, reward 1 (correctness 1, format 0); accepted: \"Paris\"\n");
}

} // namespace
} // namespace troupe

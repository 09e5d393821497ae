#include "gym/task.hpp"

#include "runtime/base/file.hpp"
#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

namespace troupe {
namespace {

class TaskFiles : public testing::Test {
protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("troupe-tasks-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  expected<std::vector<task>> read(const std::string& text) {
    EXPECT_TRUE(write_file_atomically(folder_ / "t.jsonl", text));
    return read_tasks(folder_ / "t.jsonl");
  }
  std::filesystem::path folder_;
};

TEST_F(TaskFiles, AreReadWithOneAnswerOrSeveralAndUnknownKeysKept) {
  const auto tasks =
      read("\xEF\xBB\xBF{\"id\":\"a\",\"question\":\"Q?\",\"answer\":\"A\",\"split\":\"train\"}\r\n\n"
           "{\"id\":\"b\",\"question\":\"R?\",\"answers\":[\"B\",\"C\"],\"split\":\"heldout\",\"hops\":2,"
           "\"source\":{\"page\":3}}");
  ASSERT_TRUE(tasks) << to_string(tasks.error());
  ASSERT_EQ(tasks->size(), 2u);
  EXPECT_EQ((*tasks)[0].id, "a");
  EXPECT_EQ((*tasks)[0].answers, std::vector<std::string>{"A"});
  EXPECT_EQ((*tasks)[0].part, split::train);
  EXPECT_EQ((*tasks)[0].hops, 0);
  EXPECT_EQ((*tasks)[1].answers, (std::vector<std::string>{"B", "C"}));
  EXPECT_EQ((*tasks)[1].part, split::heldout);
  EXPECT_EQ((*tasks)[1].hops, 2);
  EXPECT_EQ(json::dump((*tasks)[1].extra), R"({"source":{"page":3}})");
}

TEST_F(TaskFiles, AreTheSameAfterWritingAndReading) {
  const std::string text =
      R"({"id":"b","question":"R?","answers":["B","C"],"split":"heldout","hops":2,"source":{"page":3}})"
      "\n";
  const auto tasks = read(text);
  ASSERT_TRUE(tasks);
  EXPECT_EQ(to_jsonl(*tasks), text);
}

TEST_F(TaskFiles, NameTheLineTheKeyAndWhatWasExpected) {
  const std::string good = R"({"id":"a","question":"Q?","answer":"A","split":"train"})"
                           "\n";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{", "not JSON"},
      {"[]", "found a list, expected an object"},
      {R"({"question":"Q?","answer":"A","split":"train"})", "\"id\" is missing, expected a string"},
      {R"({"id":7,"question":"Q?","answer":"A","split":"train"})", "\"id\" is a number, expected a string"},
      {R"({"id":"","question":"Q?","answer":"A","split":"train"})", "\"id\" is empty"},
      {R"({"id":"b","question":"","answer":"A","split":"train"})", "\"question\" is empty"},
      {R"({"id":"b","question":"Q?","split":"train"})", "\"answer\" is missing"},
      {R"({"id":"b","question":"Q?","answer":"A","answers":["A"],"split":"train"})",
       "both \"answer\" and \"answers\""},
      {R"({"id":"b","question":"Q?","answer":3,"split":"train"})",
       "\"answer\" is a number, expected a string"},
      {R"({"id":"b","question":"Q?","answers":[],"split":"train"})", "\"answers\" is empty"},
      {R"({"id":"b","question":"Q?","answers":["A",3],"split":"train"})", "\"answers\" holds a number"},
      {R"({"id":"b","question":"Q?","answers":[""],"split":"train"})", "\"answers\" holds an empty string"},
      {R"({"id":"b","question":"Q?","answer":"A"})", "\"split\" is missing"},
      {R"({"id":"b","question":"Q?","answer":"A","split":"test"})",
       R"("split" is "test", expected "train" or "heldout")"},
      {R"({"id":"b","question":"Q?","answer":"A","split":"train","hops":"two"})", "\"hops\" is a string"},
      {R"({"id":"b","question":"Q?","answer":"A","split":"train","hops":-1})", "\"hops\" is -1"},
      {R"({"id":"a","question":"Q?","answer":"A","split":"train"})", "which line 1 has already"},
  };
  for (const auto& [line, said] : cases) {
    const auto tasks = read(good + line + "\n");
    ASSERT_FALSE(tasks) << line;
    EXPECT_EQ(tasks.error().code, errc::invalid);
    EXPECT_NE(tasks.error().message.find("t.jsonl:2: "), std::string::npos) << tasks.error().message;
    EXPECT_NE(tasks.error().message.find(said), std::string::npos) << tasks.error().message;
  }
}

TEST_F(TaskFiles, ThatDoNotExistAreNotFound) {
  const auto tasks = read_tasks(folder_ / "none.jsonl");
  ASSERT_FALSE(tasks);
  EXPECT_EQ(tasks.error().code, errc::not_found);
}

} // namespace
} // namespace troupe

// Chat templates of real models, and small ones for every corner of the language: what jinja2 makes of them
// (tests/oracles/chat_fixtures.py).
#include "gpu/chat/chat_template.hpp"
#include "runtime/base/random.hpp"
#include "test_texts.hpp"
#include <ctime>
#include <gtest/gtest.h>

namespace troupe {
namespace {

std::vector<std::filesystem::path> folders() {
  std::vector<std::filesystem::path> out{test_data() / "chat_templates"};
  if (const auto* more = std::getenv("TROUPE_CHAT_TEMPLATES")) out.emplace_back(more);
  return out;
}

std::int64_t seconds_of(const json::value& parts) {
  const auto part = [&](std::size_t i) { return static_cast<int>(parts.as_array()[i].as_int64()); };
  std::tm when{.tm_sec = part(5),
               .tm_min = part(4),
               .tm_hour = part(3),
               .tm_mday = part(2),
               .tm_mon = part(1) - 1,
               .tm_year = part(0) - 1900};
  when.tm_isdst = -1;
  return std::mktime(&when);
}

/// The text, or the error; compiled and rendered.
expected<std::string> outcome(std::string_view source, const json::object& variables, std::int64_t now = 0) {
  const auto made = chat_template::compile(source);
  if (!made) return fail(made.error());
  return made->render(variables, now);
}

void expect_as_wanted(const expected<std::string>& got, const json::value& wanted, const std::string& what) {
  if (const auto* text = wanted.at("text").if_string()) {
    if (!got)
      ADD_FAILURE() << what << "\n" << to_string(got.error());
    else
      EXPECT_EQ(*got, std::string_view(*text)) << what;
    return;
  }
  ASSERT_FALSE(got) << what << "\nis an error in jinja2, found: " << *got;
  EXPECT_EQ(got.error().code, errc::invalid);
  EXPECT_NE(got.error().message.find(std::string_view(wanted.at("why").as_string())), std::string::npos)
      << what << ": " << got.error().message;
}

TEST(AChatTemplate, RendersRealModelsConversationsAsJinjaDoes) {
  for (auto& folder : folders()) {
    const auto root = *json::parse(*read_file(folder / "expected.json"));
    const auto now = seconds_of(root.at("now"));
    std::size_t cases = 0;
    for (auto& one : root.at("cases").as_array()) {
      const auto name = std::string(one.at("template").as_string());
      json::object variables =
          root.at("extras").as_array()[static_cast<std::size_t>(one.at("extra").as_int64())].as_object();
      variables["messages"] =
          root.at("talks").as_array()[static_cast<std::size_t>(one.at("talk").as_int64())];
      variables["bos_token"] = "<s>", variables["eos_token"] = "</s>";
      expect_as_wanted(outcome(*read_file(folder / (name + ".jinja")), variables, now), one,
                       name + ", talk " + std::to_string(one.at("talk").as_int64()) + ", extra " +
                           std::to_string(one.at("extra").as_int64()));
      ++cases;
    }
    EXPECT_GE(cases, 900u);
  }
}

TEST(AChatTemplate, SpeaksTheLanguageAsJinjaDoes) {
  const auto root = *json::parse(*read_file(folders()[0] / "expected.json"));
  const auto& snippets = root.at("snippets").as_array();
  ASSERT_GE(snippets.size(), 60u);
  for (auto& one : snippets) {
    const std::string source(one.at("source").as_string());
    expect_as_wanted(
        outcome(source, {{"messages", root.at("talks").as_array()[0]}}, seconds_of(root.at("now"))), one,
        source);
  }
}

TEST(AChatTemplate, CannotRunAwayOrGrowWithoutBound) {
  const auto error_of = [](const std::string& source) {
    const auto got = outcome(source, {});
    return got ? std::string() : got.error().message;
  };
  const auto expect_error = [&](const char* part, const std::string& source) {
    EXPECT_NE(error_of(source).find(part), std::string::npos) << error_of(source);
  };
  expect_error("more steps",
               "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}");
  expect_error("more text", "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set ns.x = "
                            "ns.x ~ ns.x %}{% endfor %}");
  expect_error("beyond all limits", "{{ 'aaaaaaaaaa' * 9999999999999 }}");
  expect_error("more text", "{{ 'aaaaaaaaaa' * 999999999 }}");
  expect_error("more text", "{% set x = [1] * 9999999 %}");
  expect_error("deeper than they may", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
  expect_error("nested deeper", "{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}");
  expect_error(
      "nested deeper", "{{ 1" + [] {
        std::string s;
        for (int i = 0; i < 100000; ++i) s += "+1";
        return s;
      }() + " }}");
  expect_error(
      "nested deeper", "{{ x" + [] {
        std::string s;
        for (int i = 0; i < 100000; ++i) s += ".a";
        return s;
      }() + " }}");
  expect_error("nested deeper", [] {
    std::string s;
    for (int i = 0; i < 100000; ++i) s += "{% if x %}";
    return s;
  }());
  expect_error("a chat template of", std::string(2 << 20, 'x'));
  expect_error("not UTF-8", "\xFF");
}

/// By seed: real templates with characters changed, taken out, put in. An error or some text, never a crash, and soon.
TEST(AChatTemplate, SurvivesAnyChange) {
  random_stream random(6);
  const auto root = *json::parse(*read_file(folders()[0] / "expected.json"));
  int rendered = 0, refused = 0;
  for (auto name : {"qwen3", "llama3_1", "mistral_v7", "deepseekv3"}) {
    const auto good = *read_file(folders()[0] / (std::string(name) + ".jinja"));
    for (int round = 0; round < 200; ++round) {
      auto source = good;
      for (auto n = 1 + random.below(4); n > 0; --n) {
        const auto at = random.below(source.size());
        if (random.chance(0.4))
          source.erase(at, 1 + random.below(6));
        else if (random.chance(0.5))
          source[at] = "{}%#-|.[]()'\"0_ ax\n\\"[random.below(20)];
        else
          source.insert(at, source.substr(random.below(source.size()), random.below(30)));
      }
      json::object variables = root.at("extras").as_array()[2].as_object();
      variables["messages"] = root.at("talks").as_array()[random.below(root.at("talks").as_array().size())];
      outcome(source, variables) ? ++rendered : ++refused;
    }
  }
  EXPECT_GT(rendered, 50);
  EXPECT_GT(refused, 100);
}

} // namespace
} // namespace troupe

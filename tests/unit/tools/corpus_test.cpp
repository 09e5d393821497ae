#include "tools/corpus.hpp"

#include "tests/unit/tools/folder.hpp"
#include "tools/html_text.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace troupe;
using testing::HasSubstr;

namespace {

std::string failure(const std::filesystem::path& path, const corpus_limits& limits = {}) {
  auto loaded = load_corpus(path, limits);
  return loaded ? "loaded " + std::to_string(loaded->size()) : to_string(loaded.error());
}

std::string failure_of_lines(const std::string& lines, const corpus_limits& limits = {}) {
  auto loaded = parse_corpus(lines, "my.jsonl", limits);
  return loaded ? "loaded " + std::to_string(loaded->size()) : to_string(loaded.error());
}

} // namespace

TEST(ACorpusInAFolder, IsReadByPathWithATitleForEachKind) { // CORP-1
  temporary_folder folder;
  folder.write("b/lima-bean.txt", "\xEF\xBB\xBF Lima is green.\n");
  folder.write("a.md", "```\n# not a title\n```\n\n## Peru ##\nCapital Lima.\n");
  folder.write("c.HTML", "<title> Chile\n &amp; more</title><p>Capital <b>Santi</b>ago.");
  folder.write("d.htm", "<h1>Bolivia</h1>Two capitals");
  folder.write("notes.pdf", "not read");
  folder.write(".hidden/x.txt", "not read");
  for (const auto& path : {folder.path(), folder.path() / "", folder.path() / "b" / ".."}) {
    auto loaded = load_corpus(path);
    ASSERT_TRUE(loaded) << loaded.error().message;
    ASSERT_EQ(loaded->size(), 4u);
    EXPECT_EQ(loaded->at(0),
              (document{"a.md", "Peru", "```\n# not a title\n```\n\n## Peru ##\nCapital Lima."}));
    EXPECT_EQ(loaded->at(1), (document{"b/lima-bean.txt", "lima-bean", "Lima is green."}));
    EXPECT_EQ(loaded->at(2), (document{"c.HTML", "Chile & more", "Capital Santiago."}));
    EXPECT_EQ(loaded->at(3), (document{"d.htm", "Bolivia", "Bolivia\nTwo capitals"}));
  }
}

TEST(ACorpusInAFolder, WithoutADocumentIsAnErrorThatSaysWhatWasFound) { // CORP-2
  temporary_folder folder;
  folder.write("a.pdf", "x");
  EXPECT_THAT(failure(folder.path()),
              HasSubstr("found no document (1 other files), expected .txt, .md or .html"));
}

TEST(ACorpusInAFolder, ThatIsNotUtf8NamesFileLineAndByte) { // CORP-3
  temporary_folder folder;
  folder.write("latin1.html", "<p>one</p>\n<p>caf\xE9</p>");
  EXPECT_THAT(failure(folder.path()),
              HasSubstr("latin1.html:2: found byte 0xE9 at offset 17, expected UTF-8 text"));
}

TEST(ACorpusInAFolder, WithAFileBeyondTheLimitIsRefused) {
  temporary_folder folder;
  folder.write("big.txt", std::string(1001, 'x'));
  EXPECT_THAT(failure(folder.path(), {.max_document_bytes = 1000}),
              HasSubstr("big.txt is larger than the limit of 1000"));
  folder.write("big.txt", std::string(999, 'x'));
  folder.write("more.txt", std::string(999, 'x'));
  EXPECT_THAT(failure(folder.path(), {.max_document_bytes = 1000, .max_corpus_bytes = 1500}),
              HasSubstr("larger than the limit of 1500"));
}

TEST(ACorpus, ThatDoesNotExistSaysWhatWasExpected) {
  EXPECT_THAT(failure("/no/such/place"),
              HasSubstr("not_found: corpus /no/such/place does not exist, expected a folder"));
}

TEST(ACorpusOfJsonLines, IsReadInItsOrderAndIgnoresOtherKeysAndEmptyLines) { // CORP-1
  temporary_folder folder;
  folder.write("c.jsonl", "\xEF\xBB\xBF{\"id\":\"2\",\"title\":\"B\",\"text\":\"b\",\"url\":null}\r\n\n"
                          "{\"text\":\"\",\"title\":\"A\",\"id\":\"1\"}");
  auto loaded = load_corpus(folder.path() / "c.jsonl");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(*loaded, (std::vector<document>{{"2", "B", "b"}, {"1", "A", ""}}));
}

TEST(ACorpusOfJsonLines, NamesTheLineAndTheKeyThatIsWrong) {
  const std::string good = R"({"id":"1","title":"A","text":"a"})";
  EXPECT_THAT(failure_of_lines(good + "\n{\"id\":"), HasSubstr("my.jsonl:2: not JSON"));
  EXPECT_THAT(failure_of_lines(good + "\n[1]"), HasSubstr("my.jsonl:2: found a list, expected an object"));
  EXPECT_THAT(failure_of_lines("{\"id\":\"1\",\"title\":\"A\"}"),
              HasSubstr("my.jsonl:1: \"text\" is missing"));
  EXPECT_THAT(failure_of_lines("{\"id\":7,\"title\":\"A\",\"text\":\"\"}"),
              HasSubstr("\"id\" is a number, expected a string"));
  EXPECT_THAT(failure_of_lines("{\"id\":\"\",\"title\":\"A\",\"text\":\"\"}"), HasSubstr("\"id\" is empty"));
  EXPECT_THAT(failure_of_lines("{\"id\":\"1\",\"title\":\"\",\"text\":\"\"}"), HasSubstr("are both empty"));
  EXPECT_THAT(failure_of_lines("{\"id\":\"1\",\"title\":\"\xFF\",\"text\":\"\"}"),
              HasSubstr("my.jsonl:1: found byte 0xFF"));
  EXPECT_THAT(failure_of_lines(good, {.max_document_bytes = 5}), HasSubstr("my.jsonl:1: the line is longer"));
}

TEST(ACorpusOfJsonLines, RefusesAnIdThatComesTwice) { // CORP-2
  EXPECT_THAT(
      failure_of_lines(
          "{\"id\":\"1\",\"title\":\"A\",\"text\":\"a\"}\n\n{\"id\":\"1\",\"title\":\"B\",\"text\":\"b\"}"),
      HasSubstr("my.jsonl:3: found the id \"1\" again (first on line 1), expected every id once"));
}

TEST(ACorpusOfJsonLines, ThatIsEmptyIsAnError) { // CORP-2
  EXPECT_THAT(failure_of_lines(""), HasSubstr("found no document"));
  EXPECT_THAT(failure_of_lines("\n \n"), HasSubstr("found no document"));
}

TEST(TheHashOfACorpus, ChangesWithEveryFieldAndTheirBorders) {
  const std::vector<document> base = {{"1", "ab", "c"}};
  EXPECT_EQ(corpus_hash(base), corpus_hash({{"1", "ab", "c"}}));
  EXPECT_NE(corpus_hash(base), corpus_hash({{"1", "a", "bc"}}));
  EXPECT_NE(corpus_hash(base), corpus_hash({{"1a", "b", "c"}}));
  EXPECT_NE(corpus_hash(base), corpus_hash({{"1", "ab", "c"}, {"2", "", "d"}}));
}

TEST(AnHtmlPage, LosesScriptsStylesAndHiddenPartsButNoText) {
  auto page =
      read_html("<html><head><title>T</title><style>p{}</style><script>alert('x')</script></head><body>"
                "<svg><title>icon</title></svg><p hidden>secret</p><noscript>no</noscript><!-- c -->"
                "<ul><li>one<li>two &lt;b&gt;</ul><table><tr><td>a</td><td>b</td></tr></table>"
                "<p>x<br>y  z</p><img alt='a map'></body></html>");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->title, "T");
  EXPECT_EQ(page->text, "one\ntwo <b>\na b\nx\ny z\na map");
}

TEST(AnHtmlPage, ThatIsBrokenIsStillRead) {
  for (const auto* html :
       {"<p>hello", "hello</div></p>", "<b><i>hello</b></i>", "<table>hello<tr>", "hello<script>x"}) {
    auto page = read_html(html);
    ASSERT_TRUE(page);
    EXPECT_EQ(page->text, "hello") << html;
  }
  EXPECT_EQ(read_html("")->text, "");
  EXPECT_EQ(read_html("<")->text, "<");
}

TEST(AnHtmlPage, NestedBeyondReasonIsRefusedAndALongFlatOneIsNot) {
  std::string deep, flat, nested;
  for (int i = 0; i < 200'000; ++i) deep += "<div>";
  for (int i = 0; i < 50'000; ++i) flat += "<li>x<br><p>y";
  for (int i = 0; i < 3'000; ++i) nested += "<div>";
  EXPECT_EQ(read_html(deep).error().code, errc::exhausted);
  EXPECT_TRUE(read_html(flat));
  EXPECT_TRUE(read_html(nested + "x"));
}

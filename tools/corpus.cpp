#include "tools/corpus.hpp"

#include "runtime/base/file.hpp"
#include "runtime/base/hash.hpp"
#include "runtime/base/json.hpp"
#include "tools/html_text.hpp"
#include "tools/utf8.hpp"
#include <algorithm>
#include <unordered_map>

namespace troupe {

namespace {

namespace fs = std::filesystem;

std::string_view without_mark(std::string_view text) {
  return text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n\f\v";
  const auto first = text.find_first_not_of(spaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

expected<void> check_utf8(std::string_view text, const std::string& name) {
  const std::size_t at = first_invalid_utf8(text);
  if (at == text.size()) return {};
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  char byte[8];
  std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned char>(text[at]));
  return fail(errc::invalid, name + ":" + std::to_string(line) + ": found byte " + byte + " at offset " +
                                 std::to_string(at) + ", expected UTF-8 text");
}

std::string lower_ending(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return ending;
}

/// The first "# heading" outside of a fenced block; empty if there is none.
std::string_view markdown_title(std::string_view text) {
  bool fenced = false;
  while (!text.empty()) {
    const auto line = trimmed(text.substr(0, text.find('\n')));
    if (line.starts_with("```") || line.starts_with("~~~")) fenced = !fenced;
    const auto level = line.find_first_not_of('#');
    if (!fenced && level != std::string_view::npos && level >= 1 && level <= 6 && line[level] == ' ')
      return trimmed(line.substr(level, line.find_last_not_of("# ") + 1 - level));
    const auto next = text.find('\n');
    text = next == std::string_view::npos ? std::string_view{} : text.substr(next + 1);
  }
  return {};
}

expected<document> read_document(const fs::path& file, const fs::path& folder, const corpus_limits& limits) {
  auto bytes = read_file(file, limits.max_document_bytes);
  if (!bytes) return fail(bytes.error());
  if (auto ok = check_utf8(*bytes, file.string()); !ok) return fail(ok.error());
  document out;
  out.id = file.lexically_relative(folder).generic_string();
  if (first_invalid_utf8(out.id) != out.id.size())
    return fail(errc::invalid, "found a file name that is not UTF-8 in " + file.parent_path().string());
  const auto ending = lower_ending(file);
  const auto text = without_mark(*bytes);
  if (ending == ".html" || ending == ".htm") {
    auto page = read_html(text);
    if (!page) return fail(page.error().code, file.string() + ": " + page.error().message);
    out.title = std::move(page->title);
    out.text = std::move(page->text);
  } else {
    if (ending == ".md") out.title = markdown_title(text);
    out.text = trimmed(text);
  }
  if (out.title.empty()) out.title = file.stem().string();
  return out;
}

expected<std::vector<document>> load_folder(const fs::path& folder, const corpus_limits& limits) {
  std::vector<fs::path> files;
  std::size_t others = 0;
  std::error_code failed;
  fs::recursive_directory_iterator entry(folder, failed), end;
  for (; !failed && entry != end; entry.increment(failed)) {
    const auto name = entry->path().filename().string();
    std::error_code unreadable;
    const bool is_folder = entry->is_directory(unreadable);
    if (name.starts_with('.')) {
      if (is_folder) entry.disable_recursion_pending();
      continue;
    }
    if (is_folder || !entry->is_regular_file(unreadable)) continue;
    const auto ending = lower_ending(entry->path());
    const bool wanted = ending == ".txt" || ending == ".md" || ending == ".html" || ending == ".htm";
    if (wanted) files.push_back(entry->path());
    others += wanted ? 0 : 1;
  }
  if (failed) return fail(errc::io, "cannot read folder " + folder.string() + ": " + failed.message());
  if (files.empty())
    return fail(errc::invalid, "corpus " + folder.string() + ": found no document (" +
                                   std::to_string(others) +
                                   " other files), expected .txt, .md or .html files");
  std::sort(files.begin(), files.end());
  std::vector<document> out;
  std::size_t total = 0;
  for (const auto& file : files) {
    auto next = read_document(file, folder, limits);
    if (!next) return fail(next.error());
    total += next->text.size();
    if (total > limits.max_corpus_bytes)
      return fail(errc::exhausted, "corpus " + folder.string() + " is larger than the limit of " +
                                       std::to_string(limits.max_corpus_bytes) + " bytes");
    out.push_back(std::move(*next));
  }
  return out;
}

expected<document> parse_line(std::string_view line) {
  auto parsed = json::parse(line);
  if (!parsed) return fail(parsed.error());
  const auto* fields = parsed->if_object();
  if (!fields)
    return fail(errc::invalid, "found a " + std::string(json::type_name(*parsed)) +
                                   ", expected an object {\"id\", \"title\", \"text\"}");
  document out;
  for (auto [key, into] : {std::pair{"id", &out.id}, {"title", &out.title}, {"text", &out.text}}) {
    auto field = json::string_at(*fields, key);
    if (!field) return fail(field.error());
    *into = std::move(*field);
  }
  if (out.id.empty()) return fail(errc::invalid, "\"id\" is empty, expected a name of the document");
  if (out.title.empty() && out.text.empty())
    return fail(errc::invalid, "\"title\" and \"text\" are both empty, expected text that can be found");
  return out;
}

} // namespace

expected<std::vector<document>> parse_corpus(std::string_view jsonl, const std::string& name,
                                             const corpus_limits& limits) {
  if (auto ok = check_utf8(jsonl, name); !ok) return fail(ok.error());
  jsonl = without_mark(jsonl);
  std::vector<document> out;
  std::unordered_map<std::string, std::size_t> line_of;
  for (std::size_t number = 1; !jsonl.empty(); ++number) {
    const auto end = jsonl.find('\n');
    const auto line = jsonl.substr(0, end);
    jsonl = end == std::string_view::npos ? std::string_view{} : jsonl.substr(end + 1);
    const auto place = name + ":" + std::to_string(number) + ": ";
    if (line.size() > limits.max_document_bytes)
      return fail(errc::exhausted, place + "the line is longer than the limit of " +
                                       std::to_string(limits.max_document_bytes) + " bytes");
    if (trimmed(line).empty()) continue;
    auto next = parse_line(line);
    if (!next) return fail(next.error().code, place + next.error().message);
    const auto [before, is_new] = line_of.emplace(next->id, number);
    if (!is_new)
      return fail(errc::invalid, place + "found the id \"" + next->id + "\" again (first on line " +
                                     std::to_string(before->second) + "), expected every id once");
    out.push_back(std::move(*next));
  }
  if (out.empty())
    return fail(errc::invalid,
                "corpus " + name + ": found no document, expected lines of {\"id\", \"title\", \"text\"}");
  return out;
}

expected<std::vector<document>> load_corpus(const fs::path& path, const corpus_limits& limits) {
  std::error_code ignored;
  const auto kind = fs::status(path, ignored).type();
  if (kind == fs::file_type::directory) {
    // A trailing slash or "." must not change the ids.
    return load_folder((path / "").lexically_normal().parent_path(), limits);
  }
  if (kind == fs::file_type::not_found)
    return fail(errc::not_found,
                "corpus " + path.string() +
                    " does not exist, expected a folder of .txt, .md or .html files, or a JSONL file");
  auto bytes = read_file(path, limits.max_corpus_bytes);
  if (!bytes) return fail(bytes.error());
  return parse_corpus(*bytes, path.string(), limits);
}

std::string corpus_hash(const std::vector<document>& documents) {
  std::string hashes; // a hash of hashes: no copy of the whole corpus, and no two different lists look alike
  for (const auto& it : documents) ((hashes += sha256(it.id)) += sha256(it.title)) += sha256(it.text);
  return sha256(hashes);
}

} // namespace troupe

#include "gym/task.hpp"

#include "runtime/base/file.hpp"
#include <map>

namespace troupe {

namespace {

expected<std::string> filled(const json::object& from, std::string_view key) {
  auto text = json::string_at(from, key);
  if (text && text->empty())
    return fail(errc::invalid, "\"" + std::string(key) + "\" is empty, expected a text");
  return text;
}

expected<std::vector<std::string>> read_answers(const json::object& from) {
  const bool one = from.contains("answer"), many = from.contains("answers");
  if (one == many)
    return fail(
        errc::invalid,
        one ? R"(both "answer" and "answers" are given, expected one of them)"
            : R"("answer" is missing, expected "answer" (a string) or "answers" (a list of strings))");
  if (one) {
    auto answer = filled(from, "answer");
    if (!answer) return fail(answer.error());
    return std::vector<std::string>{*answer};
  }
  auto list = json::array_at(from, "answers");
  if (!list) return fail(list.error());
  if ((*list)->empty()) return fail(errc::invalid, R"("answers" is empty, expected at least one)");
  std::vector<std::string> out;
  for (const auto& item : **list) {
    if (!item.is_string() || item.get_string().empty())
      return fail(errc::invalid, R"("answers" holds )" +
                                     (item.is_string() ? std::string("an empty string")
                                                       : "a " + std::string(json::type_name(item))) +
                                     ", expected texts");
    out.emplace_back(item.get_string());
  }
  return out;
}

expected<task> read_task(const json::value& line) {
  const auto* from = line.if_object();
  if (!from)
    return fail(errc::invalid, "found a " + std::string(json::type_name(line)) + ", expected an object");
  task out;
  auto id = filled(*from, "id"), question = filled(*from, "question"), part = json::string_at(*from, "split");
  auto answers = read_answers(*from);
  if (!id) return fail(id.error());
  if (!question) return fail(question.error());
  if (!answers) return fail(answers.error());
  if (!part) return fail(errc::invalid, part.error().message + R"( ("train" or "heldout"))");
  if (*part != "train" && *part != "heldout")
    return fail(errc::invalid, R"("split" is ")" + *part + R"(", expected "train" or "heldout")");
  out.id = std::move(*id);
  out.question = std::move(*question);
  out.answers = std::move(*answers);
  out.part = *part == "train" ? split::train : split::heldout;
  if (from->contains("hops")) {
    auto hops = json::int_at(*from, "hops");
    if (!hops) return fail(hops.error());
    if (*hops < 0 || *hops > 1000)
      return fail(errc::invalid, "\"hops\" is " + std::to_string(*hops) + ", expected 0 to 1000");
    out.hops = static_cast<int>(*hops);
  }
  for (const auto& field : *from) {
    const auto key = field.key();
    if (key != "id" && key != "question" && key != "answer" && key != "answers" && key != "split" &&
        key != "hops")
      out.extra.emplace(key, field.value());
  }
  return out;
}

} // namespace

expected<std::vector<task>> read_tasks(const std::filesystem::path& jsonl) {
  auto text = read_file(jsonl);
  if (!text) return fail(text.error());
  std::string_view rest = *text;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  std::vector<task> out;
  std::map<std::string, int, std::less<>> seen;
  for (int line = 1; !rest.empty(); ++line) {
    const auto end = rest.find('\n');
    const auto row = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto here = jsonl.string() + ":" + std::to_string(line) + ": ";
    auto parsed = json::parse(row);
    if (!parsed) return fail(errc::invalid, here + parsed.error().message);
    auto one = read_task(*parsed);
    if (!one) return fail(errc::invalid, here + one.error().message);
    if (const auto [first, fresh] = seen.emplace(one->id, line); !fresh)
      return fail(errc::invalid, here + "\"id\" is \"" + one->id + "\", which line " +
                                     std::to_string(first->second) + " has already, expected a new one");
    out.push_back(std::move(*one));
  }
  return out;
}

json::object to_json(const task& what) {
  json::object out{{"id", what.id}, {"question", what.question}};
  out["answers"] = json::array(what.answers.begin(), what.answers.end());
  out["split"] = what.part == split::train ? "train" : "heldout";
  if (what.hops) out["hops"] = what.hops;
  for (const auto& field : what.extra)
    if (!out.contains(field.key())) out.emplace(field.key(), field.value());
  return out;
}

std::string to_jsonl(const std::vector<task>& tasks) {
  std::string out;
  for (const auto& one : tasks) (out += json::dump(to_json(one))) += '\n';
  return out;
}

} // namespace troupe

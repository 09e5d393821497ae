#include "tools/search_tools.hpp"

#include "tools/utf8.hpp"

#include <algorithm>
#include <thread>

namespace troupe {

namespace {

constexpr int max_query_chars = 1000, max_id_chars = 1000;

/// A result is one line, whatever its document looks like.
std::string on_one_line(std::string_view text) {
  std::string out;
  bool gap = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7F) {
      gap = !out.empty();
    } else {
      if (gap) out += ' ';
      gap = false;
      out += c;
    }
  }
  return out;
}

expected<void> only_keys(const json::object& arguments, std::initializer_list<std::string_view> known) {
  for (const auto& field : arguments) {
    if (std::find(known.begin(), known.end(), field.key()) != known.end()) continue;
    std::string names;
    for (const auto name : known) names += (names.empty() ? "\"" : ", \"") + std::string(name) + "\"";
    return fail(errc::invalid,
                "found the unknown argument \"" + std::string(field.key()) + "\", expected " + names);
  }
  return {};
}

class search_tool final : public tool {
public:
  search_tool(std::shared_ptr<const search_index> index, const search_options& options, const clock& time)
      : index_(std::move(index)), options_(options), time_(time) {
    spec_.name = "search";
    spec_.description = "Full-text search in the corpus. Gives the best document for each query.";
    spec_.parameters = {{"type", "object"},
                        {"properties",
                         {{"queries",
                           {{"type", "array"},
                            {"description", "what to look for"},
                            {"items", {{"type", "string"}, {"minLength", 1}, {"maxLength", max_query_chars}}},
                            {"minItems", 1},
                            {"maxItems", options.max_queries}}}}},
                        {"required", json::array{"queries"}},
                        {"additionalProperties", false}};
  }

  const tool_spec& spec() const override { return spec_; }

  expected<std::string> call(const json::object& arguments, const tool_context& context) override {
    auto queries = read(arguments);
    if (!queries) return fail(queries.error());
    deadline until;
    if (context.budget > duration{}) until = {&time_, time_.now() + context.budget};
    const auto found = search_all(*queries, until);
    std::string out;
    for (const auto& hits : found) {
      if (!hits) return fail(hits.error());
      if (hits->empty()) (out += out.empty() ? "" : "\n") += "No results.";
      for (const auto& hit : *hits) (out += out.empty() ? "" : "\n") += line(hit);
    }
    return out;
  }

private:
  using result = expected<std::vector<search_hit>>;

  /// In parallel only where it pays. Measured (2 cores, 3,167 documents): a rare word takes 10 us, words that
  /// every document has 2,400 us; four queries of the first kind take 60 us in a row and 300 us on threads of
  /// their own.
  std::vector<result> search_all(const std::vector<std::string_view>& queries, const deadline& until) const {
    std::vector<result> out(queries.size());
    const auto run = [&](std::size_t i) {
      out[i] = until.passed() ? result(fail(errc::timeout, "the search took longer than its budget"))
                              : index_->search(queries[i], options_.top, until);
    };
    const bool in_parallel = index_->size() >= options_.parallel_from;
    std::vector<std::jthread> others;
    for (std::size_t i = 1; in_parallel && i < queries.size(); ++i) others.emplace_back(run, i);
    for (std::size_t i = 0; i < (in_parallel ? 1 : queries.size()); ++i) run(i);
    return others.clear(), out; // clear() joins
  }

  expected<std::vector<std::string_view>> read(const json::object& arguments) const {
    if (auto ok = only_keys(arguments, {"queries"}); !ok) return fail(ok.error());
    auto list = json::array_at(arguments, "queries");
    if (!list) return fail(list.error());
    const auto wanted = "expected 1 to " + std::to_string(options_.max_queries);
    if ((*list)->empty() || (*list)->size() > static_cast<std::size_t>(options_.max_queries))
      return fail(errc::invalid, "found " + std::to_string((*list)->size()) + " queries, " + wanted);
    std::vector<std::string_view> out;
    for (const auto& item : **list) {
      const auto* text = item.if_string();
      if (!text)
        return fail(errc::invalid,
                    "found a " + std::string(json::type_name(item)) + " in \"queries\", expected strings");
      if (text->empty()) return fail(errc::invalid, "found an empty query, expected words");
      if (count_chars(*text) > max_query_chars)
        return fail(errc::invalid, "found a query of " + std::to_string(count_chars(*text)) +
                                       " characters, expected at most " + std::to_string(max_query_chars));
      out.emplace_back(*text);
    }
    return out;
  }

  std::string line(const search_hit& hit) const {
    const auto text = on_one_line(hit.text);
    std::string out = on_one_line(hit.title);
    if (!out.empty() && !text.empty()) out += ": ";
    return out += first_chars(text, static_cast<std::size_t>(options_.max_chars));
  }

  std::shared_ptr<const search_index> index_;
  search_options options_;
  const clock& time_;
  tool_spec spec_;
};

class open_tool final : public tool {
public:
  open_tool(std::shared_ptr<const search_index> index, const open_options& options)
      : index_(std::move(index)), page_chars_(static_cast<std::size_t>(std::max(1, options.page_chars))) {
    spec_.name = "open";
    spec_.description = "Shows one page of a document, given its id or title.";
    spec_.parameters = {
        {"type", "object"},
        {"properties",
         {{"id",
           {{"type", "string"},
            {"description", "id or title"},
            {"minLength", 1},
            {"maxLength", max_id_chars}}},
          {"page", {{"type", "integer"}, {"description", "1 is the first"}, {"minimum", 1}}}}},
        {"required", json::array{"id"}},
        {"additionalProperties", false}};
  }

  const tool_spec& spec() const override { return spec_; }

  expected<std::string> call(const json::object& arguments, const tool_context&) override {
    if (auto ok = only_keys(arguments, {"id", "page"}); !ok) return fail(ok.error());
    auto id = json::string_at(arguments, "id");
    if (!id) return fail(id.error());
    std::int64_t page = 1;
    if (arguments.contains("page")) {
      auto given = json::int_at(arguments, "page");
      if (!given) return fail(given.error());
      page = *given;
    }
    if (page < 1) return fail(errc::invalid, "found page " + std::to_string(page) + ", expected 1 or more");
    auto found = index_->find(*id);
    if (!found) return fail(found.error());
    return page_of(*found, page);
  }

private:
  expected<std::string> page_of(const document& it, std::int64_t page) const {
    const auto pages = static_cast<std::int64_t>(
        std::max<std::size_t>(1, (count_chars(it.text) + page_chars_ - 1) / page_chars_));
    if (page > pages)
      return fail(errc::not_found, "no page " + std::to_string(page) + ": the document has " +
                                       std::to_string(pages) + (pages == 1 ? " page" : " pages"));
    std::string_view rest = it.text;
    for (std::int64_t skipped = 1; skipped < page; ++skipped)
      rest.remove_prefix(first_chars(rest, page_chars_).size());
    return std::string(first_chars(rest, page_chars_)) + "\npage " + std::to_string(page) + " of " +
           std::to_string(pages);
  }

  std::shared_ptr<const search_index> index_;
  std::size_t page_chars_;
  tool_spec spec_;
};

} // namespace

std::shared_ptr<tool> make_search_tool(std::shared_ptr<const search_index> index,
                                       const search_options& options, const clock& time) {
  return std::make_shared<search_tool>(std::move(index), options, time);
}

std::shared_ptr<tool> make_open_tool(std::shared_ptr<const search_index> index, const open_options& options) {
  return std::make_shared<open_tool>(std::move(index), options);
}

} // namespace troupe

#include "gpu/chat/chat_template.hpp"

#include "gpu/chat/evaluator.hpp"
#include "gpu/text/unicode.hpp"
#include <ctime>

namespace troupe {

struct chat_template::tree {
  std::vector<jinja::statement> body;
};

namespace {

constexpr std::size_t longest_template = std::size_t{1} << 20;
constexpr std::int64_t longest_range = 100000; // the sandbox's of jinja2

using jinja::call_arguments;
using jinja::failure;
using jinja::value;

value range(const call_arguments& with) {
  const auto n = with.positional.size();
  if (n < 1 || n > 3) throw failure("range takes one to three numbers");
  const auto first = n == 1 ? 0 : with.positional[0].integer(),
             last = with.positional[n == 1 ? 0 : 1].integer();
  const auto step = n == 3 ? with.positional[2].integer() : 1;
  if (step == 0) throw failure("range with a step of 0");
  jinja::list out;
  for (auto at = first; step > 0 ? at < last : at > last;) {
    if (static_cast<std::int64_t>(out.size()) >= longest_range)
      throw failure("a range of more than " + std::to_string(longest_range) + " numbers");
    out.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return out;
}

value map_of(const call_arguments& with, bool space) {
  jinja::map_object out{.items = {}, .space = space};
  for (auto& given : with.positional) {
    const auto* map = given.if_map();
    if (!map)
      throw failure("dict and namespace take maps and named values, found " + std::string(given.type()));
    for (auto& [key, held] : map->items) out.set(key, held);
  }
  for (auto& [key, held] : with.named) out.set(key, held);
  return out;
}

value time_text(const call_arguments& with, std::int64_t now) {
  const auto format = with.get(0, "format").text();
  const std::time_t seconds = now;
  std::tm parts{};
  localtime_r(&seconds, &parts);
  if (format.empty()) return "";
  std::string out(4096, '\0');
  out.resize(std::strftime(out.data(), out.size(), format.c_str(), &parts));
  return out;
}

} // namespace

expected<chat_template> chat_template::compile(std::string_view source) {
  if (source.size() > longest_template)
    return fail(errc::invalid, "a chat template of " + std::to_string(source.size()) +
                                   " bytes, expected at most " + std::to_string(longest_template));
  if (!well_formed_utf8(source)) return fail(errc::invalid, "a chat template that is not UTF-8");
  try {
    chat_template out;
    out.tree_ = std::make_shared<const tree>(tree{jinja::parse_template(source)});
    return out;
  } catch (const failure& why) {
    return fail(errc::invalid, "chat template, " + std::string(why.what()));
  }
}

expected<std::string> chat_template::render(const json::object& variables, std::int64_t now) const {
  try {
    jinja::evaluator by{jinja::limits{}};
    by.define("range", jinja::function(range));
    by.define("dict", jinja::function([](const call_arguments& with) { return map_of(with, false); }));
    by.define("namespace", jinja::function([](const call_arguments& with) { return map_of(with, true); }));
    by.define("raise_exception", jinja::function([](const call_arguments& with) -> value {
                throw failure(with.get(0, "message").text());
              }));
    by.define("strftime_now",
              jinja::function([now](const call_arguments& with) { return time_text(with, now); }));
    for (auto& [name, held] : variables) by.define(std::string(name), value::from_json(held));
    return by.render(tree_->body);
  } catch (const failure& why) {
    return fail(errc::invalid, "chat template, " + std::string(why.what()));
  }
}

} // namespace troupe

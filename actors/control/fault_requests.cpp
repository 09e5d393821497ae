#include "actors/control/fault_requests.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "runtime/fault_words.hpp"

namespace troupe {

namespace {

constexpr std::size_t most_rules = 1000;

http::response not_allowed(const run_context& ctx) {
  return http::problem(403, "Faults are not allowed",
                       "run " + ctx.config.run.name +
                           " does not allow faults: expected faults.enabled=true at its start");
}

/// The rules that a request names: "TEXT", ["TEXT", ...], {"rule": "TEXT"} or {"rules": ["TEXT", ...]}.
expected<std::vector<std::string>> texts_of(const json::value& body) {
  const auto wrong = [&] {
    return fail(errc::invalid, "found " + json::dump(body).substr(0, 200) +
                                   R"(, expected {"rule": "kill any every=2s"} or {"rules": ["...", ...]})");
  };
  const json::value* it = &body;
  if (const auto* o = body.if_object()) {
    const auto* one = o->if_contains("rule");
    it = one ? one : o->if_contains("rules");
    if (!it || o->size() != 1) return wrong();
  }
  std::vector<std::string> out;
  if (it->is_string())
    out.emplace_back(it->get_string());
  else if (const auto* list = it->if_array()) {
    for (const auto& one : *list) {
      if (!one.is_string()) return wrong();
      out.emplace_back(one.get_string());
    }
  }
  if (out.empty()) return wrong();
  return out;
}

} // namespace

http::response add_faults(self_ptr self, const run_context& ctx, const json::value& body) {
  if (!ctx.faults) return not_allowed(ctx);
  const auto texts = texts_of(body);
  if (!texts) return http::problem(texts.error());
  if (ctx.faults->rules().size() + texts->size() > most_rules)
    return http::problem(429, "Too many rules",
                         "expected at most " + std::to_string(most_rules) + " in a run");
  std::vector<fault_rule> rules;
  for (const auto& text : *texts) {
    auto rule = parse_fault_rule(text, run_fault_targets());
    if (!rule) return http::problem(rule.error());
    rules.push_back(std::move(*rule));
  }
  json::array added;
  for (auto& rule : rules) {
    auto text = rule.text;
    const auto number = ctx.faults->add(std::move(rule));
    tell(self, ctx.names->find(names::faults), fault_added{number});
    added.push_back(json::object{{"number", number}, {"rule", std::move(text)}});
  }
  return http::json_response(201, json::object{{"added", std::move(added)}});
}

http::response list_faults(const run_context& ctx) {
  if (!ctx.faults) return not_allowed(ctx);
  json::array list;
  for (const auto& it : ctx.faults->rules())
    list.push_back(json::object{
        {"number", it.number}, {"rule", it.rule.text}, {"reached", it.reached}, {"strikes", it.strikes}});
  return http::json_response(200, json::object{{"faults", std::move(list)}});
}

http::response remove_fault(const run_context& ctx, const std::string& number) {
  if (!ctx.faults) return not_allowed(ctx);
  const auto n = number == "0" ? std::optional<std::uint64_t>(0) : fault_count(number);
  if (n && ctx.faults->remove(*n)) return {204, {}};
  return http::problem(404, "No such fault",
                       "found \"" + number + "\", expected the number of a rule (GET faults lists them)");
}

} // namespace troupe

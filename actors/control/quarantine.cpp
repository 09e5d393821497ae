#include "actors/control/quarantine.hpp"

#include "actors/ledger.hpp"

namespace troupe {

namespace {
constexpr auto patience = std::chrono::seconds(5);

json::object list_of(const run_context& ctx, const std::vector<record>& failures,
                     const std::vector<record>& retries, const ledger& book) {
  std::map<std::string, std::vector<record>> by_stream; // what concerns a rollout, in order
  for (const auto& r : failures) by_stream[r.stream].push_back(r);
  for (const auto& r : retries)
    if (auto found = by_stream.find(r.stream); found != by_stream.end()) {
      auto& all = found->second;
      all.insert(std::find_if(all.begin(), all.end(), [&](const record& other) { return other.seq > r.seq; }),
                 r);
    }
  json::array out;
  for (const auto& [stream, records] : by_stream) {
    const auto key = parse_rollout_stream(stream);
    const auto state = failure_in(records);
    if (!key || !state.failed || state.failed->code != errc::exhausted) continue;
    const bool train = key->why == purpose::train;
    out.push_back(
        json::object{{"rollout", key->text()},
                     {"task", train ? ctx.train_task(key->group).id : ctx.heldout[key->group & 0xfffff].id},
                     {"reason", state.failed->message},
                     {"retries", state.retries},
                     {"retryable", train && book.open_groups.contains(key->group)}});
  }
  return {{"quarantine", std::move(out)}};
}
} // namespace

void list_quarantine(self_ptr self, const context_ptr& ctx, http::responder answer) {
  auto refuse = [answer](const error& why) { answer.send(http::problem(why)); };
  ask_named(
      self, ctx, names::store, patience, read_kind{"failed", 0},
      [self, ctx, answer, refuse](const std::vector<record>& failures) {
        ask_named(
            self, ctx, names::store, patience, read_kind{"retry", 0},
            [self, ctx, answer, refuse, failures](const std::vector<record>& retries) {
              read_ledger(
                  self, ctx,
                  [ctx, answer, failures, retries](const ledger& book) {
                    answer.send(http::json_response(200, list_of(*ctx, failures, retries, book)));
                  },
                  refuse);
            },
            refuse);
      },
      refuse);
}

void retry_quarantined(self_ptr self, const context_ptr& ctx, const std::string& rollout,
                       http::responder answer) {
  const auto key = parse_rollout_key(rollout);
  if (!key) {
    answer.send(
        http::problem(400, "Not a rollout", "found \"" + rollout + "\", expected an id such as t17.3"));
    return;
  }
  ask(
      self, ctx->names->find(names::manager), patience, retry_rollout{*key},
      [answer, rollout](const done&) {
        answer.send(http::json_response(202, json::object{{"rollout", rollout}, {"state", "pending"}}));
      },
      [answer](const error& why) { answer.send(http::problem(why)); });
}

} // namespace troupe

#include "actors/recorder/recorder_actor.hpp"
#include "runtime/base/buggify.hpp"

namespace troupe {

std::string metric_key(const json::object& body) {
  auto text = [&](std::string_view key) {
    const auto* v = body.if_contains(key);
    return !v ? std::string("-") : v->is_string() ? std::string(v->get_string()) : json::dump(*v);
  };
  const auto kind = text("kind");
  if (kind == "step") return "metric/step/" + text("step");
  if (kind == "eval") return "metric/eval/" + text("when") + "/" + text("step") + "/" + text("sampling");
  if (kind == "stage" && text("state") == "done") return "metric/stage/" + text("stage");
  return {};
}

behavior recorder_actor::make_behavior() {
  if (!ctx_->folder.empty())
    ask_named(
        self_, ctx_, names::store, std::chrono::seconds(60), read_kind{"metric", 0},
        [this](const std::vector<record>& records) {
          file_.open(ctx_->folder / "metrics.jsonl", std::ios::trunc); // REC-2
          for (const auto& r : records) file_ << r.body << '\n';
          file_.flush();
        },
        [](const error& why) { give_up("reading the metrics", why); });
  return {
      [this](const metric_record& news) -> result<done> {
        reply<done> answer(self_);
        auto promise = answer.promise();
        auto key = metric_key(news.body);
        if (key.empty()) {
          show(news.body);
          answer.deliver(done{});
          return promise;
        }
        auto body = json::dump(news.body);
        auto later = std::make_shared<reply<done>>(std::move(answer));
        ask_named(
            self_, ctx_, names::store, std::chrono::seconds(60),
            append_records{{{"metric", "metric", std::move(key), body}}},
            [this, later, what = news.body, body](const std::vector<append_outcome>& outcome) {
              if (buggify<"recorder: dies behind its record">())
                give_up("buggify", {errc::internal, "on purpose"});
              if (!outcome.empty() && outcome[0].fresh) { // REC-1
                if (file_.is_open()) (file_ << body << '\n').flush();
                show(what);
              }
              later->deliver(done{});
            },
            [later](const error& why) {
              if (why.code == errc::conflict)
                later->deliver(done{}); // an earlier life recorded this figure
              else
                later->fail(why);
            });
        return promise;
      },
      resume_handler(),
  };
}

void recorder_actor::show(const json::object& body) {
  if (ctx_->on_record) ctx_->on_record(body);
}

} // namespace troupe

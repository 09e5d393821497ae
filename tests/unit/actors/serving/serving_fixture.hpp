#pragma once

#include "actors/serving/serving_tree.hpp"
#include "runtime/system.hpp"
#include "tests/unit/base/raw_client.hpp"
#include "tests/unit/folder.hpp"
#include "tests/unit/tiny_model.hpp"
#include <thread>

namespace troupe::serving {

/// What a test sees of the engine, and does to it.
struct engine_watch {
  std::atomic<int> active{0}, waiting{0}, cancels{0}, lives{0}, step_delay_ms{0};
  std::atomic<std::uint64_t> steps{0};
  std::atomic<bool> dies{false}; ///< at each step
  /// Instead of sampling: these tokens, whatever the prompt, then the end of the turn. By the script's place in the context.
  std::vector<token> script;
};

/// The CPU engine under watch.
class watched_engine final : public engine_core {
public:
  watched_engine(std::unique_ptr<engine_core> inner, std::shared_ptr<engine_watch> watch)
      : inner_(std::move(inner)), watch_(std::move(watch)) {
    ++watch_->lives;
  }
  void set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) override {
    inner_->set_weights(std::move(weights), version, policy);
  }
  expected<void> submit(generate_request request) override {
    auto taken = inner_->submit(std::move(request));
    look();
    return taken;
  }
  bool cancel(std::uint64_t sequence) override {
    const bool there = inner_->cancel(sequence);
    if (there) ++watch_->cancels;
    look();
    return there;
  }
  void forget(std::uint64_t sequence) override { inner_->forget(sequence); }
  bool step(std::vector<generated>& finished, std::vector<token_news>* news) override {
    if (watch_->dies) throw std::runtime_error("the engine dies, as the test wants");
    if (const int delay = watch_->step_delay_ms)
      std::this_thread::sleep_for(std::chrono::milliseconds(delay));
    const bool more = inner_->step(finished, news);
    look();
    return more;
  }
  engine_stats stats() const override { return inner_->stats(); }

private:
  void look() {
    const auto now = inner_->stats();
    watch_->active = now.active;
    watch_->waiting = now.waiting;
    watch_->steps = now.steps;
  }
  std::unique_ptr<engine_core> inner_;
  std::shared_ptr<engine_watch> watch_;
};

/// Says its script, one token a step, instead of what a model would.
class scripted_engine final : public engine_core {
public:
  explicit scripted_engine(std::vector<token> script) : script_(std::move(script)) {}
  void set_weights(weights_ptr, std::uint64_t, kv_policy) override {}
  expected<void> submit(generate_request request) override {
    open_.push_back({std::move(request), {}});
    return {};
  }
  bool cancel(std::uint64_t sequence) override {
    return std::erase_if(open_, [&](const auto& one) { return one.first.sequence == sequence; }) > 0;
  }
  void forget(std::uint64_t) override {}
  bool step(std::vector<generated>& finished, std::vector<token_news>* news) override {
    const bool more = !open_.empty();
    for (auto& [request, out] : open_) {
      const auto id = script_.at(out.tokens.size());
      out.sequence = request.sequence;
      if (news) news->push_back({request.sequence, out.tokens.size(), id, -0.5f, 0, {}});
      out.tokens.push_back(id);
      out.logprobs.push_back(-0.5f);
      out.versions.push_back(0);
      const bool last = out.tokens.size() == script_.size();
      if (last || static_cast<int>(out.tokens.size()) == request.max_new_tokens) {
        out.reason = last ? finish_reason::stop : finish_reason::length;
        finished.push_back(out);
      }
    }
    for (const auto& done : finished) cancel(done.sequence);
    return more;
  }
  engine_stats stats() const override { return {}; }

private:
  std::vector<token> script_;
  std::vector<std::pair<generate_request, generated>> open_;
};

/// A whole server in this process.
class serving_fixture {
public:
  using change = std::function<void(serving_context&)>;
  explicit serving_fixture(const change& changed = {}, const tiny_model& model = {},
                           const std::string& script = {}) {
    model.save(place.path / "tiny");
    auto loaded = load_language_model(place.path / "tiny");
    if (!loaded) throw std::runtime_error(to_string(loaded.error()));
    auto made = std::make_shared<serving_context>();
    made->model = std::move(*loaded);
    made->rules = {.served_names = {"tiny", "also-tiny"},
                   .max_model_len = model.context,
                   .max_kv_tokens = 1 << 14,
                   .tools = tools_of(made->model)};
    made->limits = {.max_sequences = 8, .max_kv_tokens = 1 << 14, .prefill_chunk = 64, .threads = 1};
    made->options.port = 0;
    made->options.admin_key = "root";
    made->version = "1.2.3";
    made->seed = 7;
    made->load = [](const std::filesystem::path& from) { return load_language_model(from); };
    auto run = std::make_shared<run_context>();
    run->time = &system_clock();
    run->config.rollout.journal_interval = 0;
    run->threads = node::threads();
    run->board->publish(made->model.weights, 0);
    made->run = run;
    if (changed) changed(*made);
    if (script.empty())
      run->parts.make_engine = [shape = made->model.weights->config, limits = made->limits,
                                seen = watch]() -> expected<std::unique_ptr<engine_core>> {
        auto inner = make_cpu_engine(shape, limits);
        if (!inner) return inner;
        return std::make_unique<watched_engine>(std::move(*inner), seen);
      };
    else
      run->parts.make_engine =
          [words = conversation_tokens(made->model, script)]() -> expected<std::unique_ptr<engine_core>> {
        return std::make_unique<scripted_engine>(words);
      };
    ctx = made;
    node_options options;
    options.stop_deadline = std::chrono::seconds(5);
    nodes = *node::start(options);
    nodes->supervise(tree_options(ctx), tree_children(ctx));
    until([&] { return ctx->port->load() != 0 && get("/health").status == 200; }, "it serves");
  }
  ~serving_fixture() { (void)nodes->stop(); }

  template <class What>
  bool until(What what, const char* = "", std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < end) {
      if (what()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(ctx->port->load()) + path;
  }
  http::response call(const std::string& method, const std::string& path, const std::string& body,
                      http::header_list headers = {}) const {
    headers.emplace_back("Content-Type", "application/json");
    auto got = http::fetch(method, url(path), body, headers, std::chrono::seconds(30));
    if (!got) return {0, to_string(got.error())};
    return *got;
  }
  http::response get(const std::string& path, const http::header_list& headers = {}) const {
    return call("GET", path, "", headers);
  }
  http::response post(const std::string& path, const json::object& body) const {
    return call("POST", path, json::dump(body));
  }
  http::response order(const std::string& method, const std::string& path,
                       const std::string& body = {}) const {
    return call(method, path, body, {{"Authorization", "Bearer root"}});
  }
  /// The answer's object; throws with the body if the status is another one.
  json::object answer(const std::string& path, const json::object& body, int status = 200) const {
    const auto got = post(path, body);
    if (got.status != status)
      throw std::runtime_error("status " + std::to_string(got.status) + ": " + got.body);
    return json::parse(got.body)->as_object();
  }
  /// The chunks of a stream.
  std::vector<json::object> stream(const std::string& path, json::object body) const {
    body["stream"] = true;
    return chunks(post(path, body).body);
  }
  static std::vector<json::object> chunks(const std::string& text) {
    std::vector<json::object> out;
    for (std::size_t at = 0; (at = text.find("data: ", at)) != text.npos;) {
      const auto end = std::min(text.find('\n', at), text.size());
      if (auto v = json::parse(text.substr(at + 6, end - at - 6)); v && v->is_object())
        out.push_back(v->as_object());
      at = end;
    }
    return out;
  }
  /// Sends a request by hand and leaves the connection to the test.
  std::unique_ptr<raw_client> begin(const std::string& path, const json::object& body) const {
    auto client = std::make_unique<raw_client>(ctx->port->load());
    const auto text = json::dump(body);
    client->send("POST " + path +
                 " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
                 std::to_string(text.size()) + "\r\n\r\n" + text);
    return client;
  }

  test_folder place;
  std::shared_ptr<engine_watch> watch = std::make_shared<engine_watch>();
  serving_ptr ctx;
  std::unique_ptr<node> nodes;
};

inline json::object completion(const std::string& prompt, json::object more = {}) {
  json::object out{{"model", "tiny"}, {"prompt", prompt}, {"max_tokens", 12}, {"seed", 3}};
  for (auto& [key, value] : more) out[key] = value;
  return out;
}
inline json::object chat(const std::string& text, json::object more = {}) {
  json::object out{{"model", "tiny"},
                   {"messages", json::array{json::object{{"role", "user"}, {"content", text}}}},
                   {"max_tokens", 12},
                   {"seed", 3}};
  for (auto& [key, value] : more) out[key] = value;
  return out;
}
inline const json::object& first_choice(const json::object& answer) {
  return answer.at("choices").as_array().at(0).as_object();
}

} // namespace troupe::serving

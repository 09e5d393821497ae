#pragma once

#include "gpu/checkpoint.hpp"
#include "gpu/engine_core.hpp"
#include "gpu/files/hf_model.hpp"
#include "runtime/base/http.hpp"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

/// Stands in for a server that others make: our CPU engine behind their routes, so that tests can say which tokens are right. Written from
/// their sources (versions in vllm.hpp and sglang.hpp), not run against them. All that it knows is lost with the object, as it is in a process.
namespace troupe::foreign {

/// What goes wrong, and how it was begun. Set before `start`, or under `with`.
struct behaviour {
  bool raw_logprobs = false;  ///< those before the temperature
  bool logits = false;        ///< no logprobs at all
  bool spans = true;          ///< says of ranges of tokens which weights sampled them
  int short_logprobs = 0;     ///< from the n-th turn on, one logprob too few (0: never)
  std::size_t hold_after = 0; ///< `hold` begins when a turn has so many tokens
  bool hold = false;          ///< turns are not sampled
  std::string held_path;      ///< calls of this path are not answered: `held_calls` counts them
  std::string broken_path;    ///< answered with 500
  std::string reborn_at; ///< at the next call of this path it is another process, between two connections
  std::chrono::milliseconds load_time{0};
  bool forgets_weights = false; ///< says that it loaded, and did not
};

/// What was seen.
struct sightings {
  int loads = 0;
  int loads_with_open_turns = 0;
  int sampled_before_weights = 0;   ///< turns asked for while it had none of ours
  int sampled_with_stale_cache = 0; ///< keys and values of the weights before were there to be used
  int names_used_again = 0;
  std::set<std::string> names;
  int turns = 0, aborted = 0, held_calls = 0, refused_while_paused = 0;
  std::set<std::string> temperatures;
  std::set<std::int64_t> seeds;
  std::vector<std::string> calls; ///< control calls, in order
};

class generator {
public:
  /// `draws`: the seed of the run's sampling; a turn's stream is the number in its name.
  generator(std::filesystem::path model, std::uint64_t draws) : model_(std::move(model)), draws_(draws) {}
  virtual ~generator() { stop(); }
  generator(const generator&) = delete;

  /// At the same port as before, with what it was begun with.
  void start() {
    auto weights = load_hf_model(model_);
    if (!weights) throw std::runtime_error(to_string(weights.error()));
    vocabulary_ = weights->config.vocab_size;
    engine_limits limits;
    engine_ = std::move(*make_cpu_engine(weights->config, limits));
    engine_->set_weights(std::make_shared<const model_weights>(std::move(*weights)), 0, kv_policy::recompute);
    label_ = "default";
    loaded_.clear();
    stale_ = false;
    paused_ = ended_ = false;
    worker_ = std::thread([this] { work(); });
    http::router routes;
    add(routes);
    http::server_options options;
    options.port = port_;
    options.answer_deadline = std::chrono::minutes(5);
    server_ = std::move(*http::server::start(options, std::move(routes)));
    port_ = server_->port();
  }
  /// As a process that is killed: connections break, nothing is kept.
  void stop() {
    if (!server_) return;
    {
      std::scoped_lock lock(guard_);
      ended_ = true;
    }
    wake_.notify_all();
    server_->stop(std::chrono::seconds(0));
    worker_.join();
    server_.reset();
    open_.clear();
    held_.clear();
    engine_.reset();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  template <class What>
  auto with(What what) {
    std::scoped_lock lock(guard_);
    wake_.notify_all();
    return what();
  }
  /// Waits until it is so; false if it takes too long.
  bool until(const std::function<bool()>& what,
             std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!with(what)) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }
  std::size_t open_turns() const { return open_.size(); } ///< under `with`
  std::size_t tokens_of_open_turns() const {              ///< under `with`
    std::size_t sum = 0;
    for (const auto& [number, one] : open_) sum += one.out.tokens.size();
    return sum;
  }
  /// It becomes another process between two connections. Under `with`.
  void be_reborn() {
    abort_all();
    label_ = "default";
    loaded_.clear();
    stale_ = false;
    paused_ = false;
    engine_->set_weights(std::make_shared<const model_weights>(*load_hf_model(model_)), 0,
                         kv_policy::recompute);
  }

  behaviour how;
  sightings seen;

protected:
  struct sampled {
    std::vector<token> tokens;
    std::vector<double> logprobs;
    std::vector<std::string> labels;
    std::vector<std::vector<ranked_token>> top;
    std::string ending; ///< "stop", "length", "abort"
    std::size_t prompt = 0;
    std::string name;
  };
  using say = std::function<http::response(const sampled&)>;

  static void add_models(http::router& routes, const char* owner) {
    routes.add("GET", "/v1/models", [owner](http::request&, http::responder answer) {
      const json::object model{{"id", "policy"}, {"owned_by", owner}, {"max_model_len", 2048}};
      answer.send(http::json_response(200, json::object{{"data", json::array{model}}}));
    });
  }

  virtual void add(http::router& routes) = 0;

  /// A control route: seen, held, broken as a test says.
  void control(http::router& routes, const std::string& method, const std::string& path,
               std::function<http::response(http::request&)> what) {
    routes.add(method, path,
               [this, path, what = std::move(what)](http::request& asked, http::responder answer) {
                 std::unique_lock lock(guard_);
                 seen.calls.push_back(path);
                 if (how.held_path == path) {
                   ++seen.held_calls;
                   held_.push_back(std::move(answer));
                   return;
                 }
                 if (how.reborn_at == path) {
                   how.reborn_at.clear();
                   be_reborn();
                 }
                 if (how.broken_path == path)
                   return (void)answer.send(http::json_response(500, json::object{{"error", "it broke"}}));
                 auto out = what(asked);
                 if (path == load_path_ && how.load_time.count() > 0) {
                   lock.unlock();
                   std::this_thread::sleep_for(how.load_time);
                 }
                 answer.send(std::move(out));
               });
  }

  // -- under the lock
  void load(const std::string& folder, bool empty_cache) {
    ++seen.loads;
    seen.loads_with_open_turns += open_.empty() ? 0 : 1;
    auto weights = load_hf_model(folder);
    if (!weights) throw std::runtime_error(to_string(weights.error()));
    if (how.forgets_weights) return;
    engine_->set_weights(std::make_shared<const model_weights>(std::move(*weights)),
                         static_cast<std::uint64_t>(seen.loads),
                         empty_cache ? kv_policy::recompute : kv_policy::keep);
    loaded_ = folder;
    stale_ = !empty_cache;
  }
  void empty_cache() {
    stale_ = false;
    if (loaded_.empty()) return;
    engine_->set_weights(std::make_shared<const model_weights>(*load_hf_model(loaded_)),
                         static_cast<std::uint64_t>(seen.loads), kv_policy::recompute);
  }
  void abort_all() {
    seen.aborted += static_cast<int>(open_.size());
    for (auto& [number, one] : open_) {
      engine_->cancel(number);
      one.out.ending = "abort";
      one.answer.send(one.form(one.out));
    }
    open_.clear();
  }
  /// Begins a turn. `name` is what the caller calls it: troupe-<process>-<rollout>-<call>.
  void sample(std::string name, generate_request ask, const http::responder& answer, say form) {
    const bool probe = name.find("-look-") != name.npos || name.find("-start-") != name.npos;
    if (!probe) {
      ++seen.turns;
      seen.sampled_before_weights += label_ == "default" ? 1 : 0;
      seen.sampled_with_stale_cache += stale_ ? 1 : 0;
      seen.names_used_again += seen.names.insert(name).second ? 0 : 1;
      seen.temperatures.insert(std::to_string(ask.sampling.temperature).substr(0, 4));
    }
    if (how.raw_logprobs) ask.sampling.temperature = 1; // what it then says of a token is of temperature 1
    ask.sequence = ++numbers_;
    ask.seed = draws_;
    ask.draws_by_seed = true;
    ask.draw_stream = stream_of(name);
    ask.stream = true;
    ask.top_logprobs = std::max(0, ask.top_logprobs);
    open_turn one{answer, std::move(form), {}};
    one.out.prompt = ask.context.size();
    one.out.name = std::move(name);
    const auto number = ask.sequence;
    if (auto fine = engine_->submit(std::move(ask)); !fine) {
      answer.send(
          http::json_response(400, json::object{{"error", json::object{{"message", fine.error().message}}}}));
      return;
    }
    open_.emplace(number, std::move(one));
    answer.on_gone([this, number] {
      std::scoped_lock lock(guard_);
      if (open_.erase(number) > 0) engine_->cancel(number);
    });
    wake_.notify_all();
  }
  /// The logprobs of a turn as it says them.
  std::vector<double> said_logprobs(const sampled& turn) const {
    auto out = turn.logprobs;
    if (how.logits)
      for (auto& one : out) one += 12;
    if (how.short_logprobs > 0 && seen.turns >= how.short_logprobs && !out.empty()) out.pop_back();
    return out;
  }
  static json::array spans_of(const sampled& turn) {
    json::array out;
    for (std::size_t i = 0; i < turn.labels.size(); ++i) {
      if (i == 0 || turn.labels[i] != turn.labels[i - 1])
        out.push_back(json::object{{"version", turn.labels[i]}, {"start", i}});
      out.back().as_object()["end"] = i + 1;
    }
    return out;
  }

  std::mutex guard_;
  std::condition_variable wake_;
  std::string label_ = "default", load_path_;
  bool paused_ = false;
  int vocabulary_ = 0;

private:
  struct open_turn {
    http::responder answer;
    say form;
    sampled out;
  };

  static std::uint64_t stream_of(const std::string& name) {
    const auto last = name.rfind('-');
    const auto before = last == name.npos || last == 0 ? name.npos : name.rfind('-', last - 1);
    if (before == name.npos) return 0;
    const auto number = name.substr(before + 1, last - before - 1);
    return number.empty() || number.find_first_not_of("0123456789") != number.npos ? 0 : std::stoull(number);
  }

  void work() {
    std::unique_lock lock(guard_);
    while (!ended_) {
      const bool holds = how.hold && std::all_of(open_.begin(), open_.end(), [this](const auto& one) {
                           return one.second.out.tokens.size() >= how.hold_after;
                         });
      if (open_.empty() || holds) {
        wake_.wait_for(lock, std::chrono::milliseconds(5));
        continue;
      }
      std::vector<generated> done;
      std::vector<token_news> news;
      engine_->step(done, &news);
      for (const auto& one : news)
        if (const auto it = open_.find(one.sequence); it != open_.end()) {
          it->second.out.tokens.push_back(one.id);
          it->second.out.logprobs.push_back(one.logprob);
          it->second.out.labels.push_back(label_);
        }
      for (auto& one : done) {
        const auto it = open_.find(one.sequence);
        if (it == open_.end()) continue;
        auto& out = it->second.out;
        out.top = std::move(one.top);
        out.ending = one.reason == finish_reason::stop ? "stop" : "length";
        it->second.answer.send(it->second.form(out));
        open_.erase(it);
      }
      lock.unlock(); // others may come in between two steps
      std::this_thread::yield();
      lock.lock();
    }
  }

  std::filesystem::path model_;
  std::uint64_t draws_ = 0, numbers_ = 0;
  std::string loaded_;
  std::unique_ptr<engine_core> engine_;
  std::map<std::uint64_t, open_turn> open_;
  std::vector<http::responder> held_;
  bool ended_ = false, stale_ = false;
  std::uint16_t port_ = 0;
  std::thread worker_;
  std::unique_ptr<http::server> server_;
};

} // namespace troupe::foreign

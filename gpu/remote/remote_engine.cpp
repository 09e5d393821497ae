#include "gpu/remote/remote_engine.hpp"

#include "gpu/checkpoint.hpp"
#include "gpu/remote/look_at_logprobs.hpp"
#include "gpu/remote/server_dialect.hpp"
#include "runtime/base/http_calls.hpp"
#include "runtime/base/random.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <unordered_map>

namespace troupe {

namespace fs = std::filesystem;
using namespace remote;

namespace {

constexpr auto look = std::chrono::milliseconds(5); ///< at the mailbox of whoever calls `step`

constexpr int most_broken_updates = 8; ///< REM-4; with the pauses between them some 15 s

class remote_engine final : public engine_core {
public:
  explicit remote_engine(remote_options options)
      : options_(std::move(options)),
        speech_(dialect_of(options_.dialect)),
        labels_random_(options_.nonce),
        pause_(options_.first_pause) {}
  ~remote_engine() override;

  void set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) override;
  expected<void> submit(generate_request request) override;
  bool cancel(std::uint64_t sequence) override;
  void forget(std::uint64_t) override {} // the server's cache is its own affair
  bool step(std::vector<generated>& finished, std::vector<token_news>* news) override;
  engine_stats stats() const override;

private:
  struct turn {
    generate_request ask;
    std::pair<int, std::uint64_t> place; ///< priority, number
    http::calls::number call = 0;        ///< 0: it waits
    std::uint64_t label = 0;             ///< of the weights that the server had when it was asked for
  };
  /// What is known of the server. Between `unknown` and `ready`: what it is asked, or that open turns are waited for before an update.
  enum class state : std::uint8_t { unknown, asking, draining, giving, ready, away };

  bool busy() const { return !turns_.empty() || control_ != 0 || must_resume_; }
  void work();
  void send_waiting();
  void wait_again(turn& what);
  http::calls::number call(const question& what, duration deadline);
  void ask_label();
  void begin(std::vector<control_step> steps);
  void next_step();
  void answered(const http::calls::ended& what);
  void control_answered(const http::calls::ended& what);
  void label_answered(const http::response& answer);
  void step_answered(const http::response& answer);
  void wanted_after(std::uint64_t label);
  void update();
  expected<void> check_temperature(double temperature) const;
  std::string turn_id(const turn& what) const;
  void remove_older_weights() const;
  void ready();
  void away(const std::string& why);
  void take(turn& what, const http::response& answer);
  void finish(turn& what, completed made);
  [[noreturn]] void refused(const std::string& doing, const std::string& why) const;
  fs::path folder_of(std::uint64_t label) const;

  remote_options options_;
  const server_dialect& speech_;
  http::calls calls_;
  std::map<std::uint64_t, turn> turns_; ///< by sequence
  std::map<std::pair<int, std::uint64_t>, std::uint64_t> waiting_;
  std::unordered_map<http::calls::number, std::uint64_t> asked_; ///< sequences, by call
  std::uint64_t number_ = 0, asks_ = 0;                          ///< turns, and calls for them

  weights_ptr weights_;
  std::uint64_t version_ = 0;
  bool recompute_ = true;
  std::uint64_t wanted_ = 0;                        ///< label of weights_; 0: they have none yet
  std::map<std::uint64_t, std::uint64_t> versions_; ///< by label
  random_stream labels_random_;

  state state_ = state::unknown;
  http::calls::number control_ = 0;
  std::vector<control_step> steps_; ///< of what is being given
  std::size_t at_ = 0;              ///< the one whose answer is waited for
  int broken_updates_ = 0;          ///< one after the other, on a server that answers
  bool look_ = true;          ///< the server may be another one than the one whose logprobs were looked at
  std::uint64_t sending_ = 0; ///< the label of the update in progress
  bool must_resume_ = false;  ///< the server may be paused, by us
  std::optional<bool> said_away_; ///< by this life: an earlier one may have said something else
  duration pause_, again_{};

  std::vector<generated> ended_; ///< of this step
  std::vector<token_news> news_;
  engine_stats stats_;
};

remote_engine::~remote_engine() {
  if (!must_resume_) return; // REM-5
  const auto what = speech_.ask_resume();
  (void)http::fetch(what.method, options_.url + what.path, what.text(), headers_of(options_.key),
                    std::chrono::seconds(1));
}

fs::path remote_engine::folder_of(std::uint64_t label) const {
  return options_.weights / ("step-" + std::to_string(label));
}

void remote_engine::refused(const std::string& doing, const std::string& why) const {
  throw std::runtime_error(server_at(options_.url) + ", " + doing + ": " + why);
}

// -- from its owner

void remote_engine::set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) {
  const bool back = weights_ && version < version_;
  weights_ = std::move(weights);
  version_ = version;
  recompute_ = policy != kv_policy::keep;
  wanted_ = 0;
  for (auto it = turns_.begin(); it != turns_.end();) {
    auto& one = it++->second;
    if (policy == kv_policy::abort) {
      const auto sequence = one.ask.sequence;
      ended_.push_back({.sequence = sequence, .reason = finish_reason::aborted});
      cancel(sequence);
    } else if (back && one.call != 0) { // REM-3
      calls_.drop(one.call);
      asked_.erase(one.call);
      wait_again(one);
    }
  }
}

expected<void> remote_engine::submit(generate_request request) {
  const auto wrong = [](std::string text) { return fail(errc::invalid, std::move(text)); };
  if (request.context.empty()) return wrong("found an empty context, expected one token at least");
  for (token id : request.context)
    if (id < 0 || id >= options_.vocabulary)
      return wrong("found the token " + std::to_string(id) + ", expected 0 to " +
                   std::to_string(options_.vocabulary - 1));
  if (request.max_new_tokens < 1)
    return wrong("found max_new_tokens " + std::to_string(request.max_new_tokens) + ", expected 1 at least");
  if (request.top_logprobs >= 0 || request.prompt_logprobs >= 0)
    return wrong("likeliest tokens and logprobs of the context are not asked of a remote engine");
  if (turns_.contains(request.sequence))
    return fail(errc::conflict,
                "the sequence " + std::to_string(request.sequence) + " is already generating");
  if (auto fine = speech_.check(request); !fine) return fine;
  if (auto fine = check_temperature(request.sampling.temperature); !fine) return fine;
  const auto tokens = static_cast<std::int64_t>(request.context.size()) + request.max_new_tokens;
  if (options_.context > 0 && tokens > options_.context)
    return fail(errc::exhausted, "a context of " + std::to_string(request.context.size()) + " tokens and " +
                                     std::to_string(request.max_new_tokens) + " more, expected at most " +
                                     std::to_string(options_.context));
  const auto sequence = request.sequence;
  auto& one = turns_[sequence];
  one.place = {request.priority, ++number_};
  one.ask = std::move(request);
  waiting_.emplace(one.place, sequence);
  return {};
}

expected<void> remote_engine::check_temperature(double temperature) const {
  if (speech_.when_tempered().empty() || temperature == 0 || temperature == 1 ||
      temperature == options_.temperature)
    return {};
  return fail(errc::invalid, "found the temperature " + std::to_string(temperature) +
                                 ", expected 0, 1 or rollout.temperature: the server's logprobs were looked "
                                 "at for these");
}

bool remote_engine::cancel(std::uint64_t sequence) {
  const auto found = turns_.find(sequence);
  if (found == turns_.end()) return false;
  auto& one = found->second;
  if (one.call != 0) {
    calls_.drop(one.call); // the server sees that nobody waits
    asked_.erase(one.call);
  }
  waiting_.erase(one.place);
  turns_.erase(found);
  return true;
}

engine_stats remote_engine::stats() const {
  auto out = stats_;
  out.active = static_cast<int>(asked_.size());
  out.waiting = static_cast<int>(waiting_.size());
  return out;
}

bool remote_engine::step(std::vector<generated>& finished, std::vector<token_news>* news) {
  work();
  for (const auto& what : calls_.wait(busy() ? look : duration(0))) answered(what);
  work();
  ++stats_.steps;
  std::move(ended_.begin(), ended_.end(), std::back_inserter(finished));
  if (news) std::move(news_.begin(), news_.end(), std::back_inserter(*news));
  ended_.clear();
  news_.clear();
  return busy();
}

// -- the server's state

void remote_engine::work() {
  if (!weights_ || control_ != 0) return;
  if (state_ == state::away && options_.time->now() < again_) return;
  if (state_ == state::draining) { // REM-6
    if (!asked_.empty()) return;
    if (wanted_ != 0) return update();
  }
  if (state_ != state::ready || wanted_ == 0) return ask_label();
  send_waiting();
}

http::calls::number remote_engine::call(const question& what, duration deadline) {
  return calls_.begin(what.method, options_.url + what.path, what.text(), headers_of(options_.key), deadline);
}

void remote_engine::ask_label() {
  state_ = state::asking;
  control_ = call(speech_.ask_weight_label(), std::chrono::seconds(30));
}

void remote_engine::begin(std::vector<control_step> steps) {
  state_ = state::giving;
  steps_ = std::move(steps);
  at_ = 0;
  next_step();
}

void remote_engine::next_step() {
  if (at_ == steps_.size()) return ready();
  const auto& one = steps_[at_];
  control_ = call(one.ask, one.what == control_step::kind::load ? options_.control_deadline
                                                                : duration(std::chrono::seconds(30)));
}

void remote_engine::answered(const http::calls::ended& what) {
  if (what.which == control_) return control_answered(what);
  const auto found = asked_.find(what.which);
  if (found == asked_.end()) return;
  auto& one = turns_.at(found->second);
  asked_.erase(found);
  one.call = 0;
  if (what.what && what.what->status == 200) return take(one, *what.what);
  wait_again(one);
  if (!what.what) {
    if (what.what.error().code == errc::invalid) refused("asking for a turn", what.what.error().message);
    return away(what.what.error().message);
  }
  if (!may_pass(what.what->status)) refused("asking for a turn", status_text(*what.what));
  away(status_text(*what.what));
}

void remote_engine::control_answered(const http::calls::ended& what) {
  control_ = 0;
  if (!what.what) return away(what.what.error().message);
  return state_ == state::asking ? label_answered(*what.what) : step_answered(*what.what);
}

void remote_engine::label_answered(const http::response& answer) {
  const auto doing = "asking for the version of its weights";
  if (answer.status != 200) {
    if (may_pass(answer.status)) return away(status_text(answer));
    refused(doing, status_text(answer));
  }
  auto parsed = json::parse(answer.body);
  auto label = parsed ? speech_.read_weight_label(*parsed) : expected<std::uint64_t>(fail(parsed.error()));
  if (!label) refused(doing, label.error().message);
  if (wanted_ != 0 && *label == wanted_) {
    if (!must_resume_) return ready();
    return begin({{speech_.ask_resume(), "letting it go on", control_step::kind::resume}});
  }
  if (!versions_.contains(*label)) look_ = true;
  wanted_after(*label);
  if (!speech_.fenced() || asked_.empty()) return update();
  state_ = state::draining;
}

void remote_engine::step_answered(const http::response& answer) {
  const auto& done = steps_[at_];
  const bool loads = done.what == control_step::kind::load;
  if (answer.status != 200) {
    // A server that answers, and cannot load: vLLM says 500 of everything that went wrong.
    const bool hopeless = loads && answer.status == 500 && ++broken_updates_ >= most_broken_updates;
    if (!hopeless && may_pass(answer.status)) return away(status_text(answer));
    refused(done.doing, status_text(answer));
  }
  if (done.read) {
    const auto parsed = json::parse(answer.body);
    const auto fine =
        parsed ? done.read(*parsed) : expected<void>(fail(errc::invalid, parsed.error().message));
    if (!fine && fine.error().code == errc::unavailable) return away(fine.error().message);
    if (!fine) refused(done.doing, fine.error().message);
  }
  if (loads) {
    broken_updates_ = 0;
    remove_older_weights();
  }
  if (done.what == control_step::kind::resume) must_resume_ = false;
  ++at_;
  next_step();
}

void remote_engine::wanted_after(std::uint64_t label) {
  constexpr std::uint64_t spread = std::uint64_t{1} << 32; // REM-2; the sums of years stay whole in a double
  wanted_ = label + 1 + labels_random_.below(spread);
}

/// Writes the weights and begins to give them to the server.
void remote_engine::update() {
  sending_ = wanted_;
  versions_[sending_] = version_;
  checkpoint what;
  what.step = sending_;
  what.version = version_;
  what.weights = *weights_;
  std::error_code failed;
  fs::create_directories(options_.weights, failed);
  if (auto saved = save_checkpoint(options_.weights, what, options_.companions); !saved)
    throw std::runtime_error("writing weights for the engine's server: " + to_string(saved.error()));
  must_resume_ = true;
  auto steps = speech_.give_weights(fs::absolute(folder_of(sending_)).string(), sending_, recompute_);
  steps.push_back({speech_.ask_resume(), "letting it go on", control_step::kind::resume});
  if (std::exchange(look_, false)) // REM-7
    for (auto& look : look_at_logprobs(speech_, options_.vocabulary, options_.temperature, options_.model,
                                       "troupe-" + std::to_string(sending_) + "-"))
      steps.push_back(std::move(look));
  begin(std::move(steps));
}

void remote_engine::remove_older_weights() const {
  std::error_code ignored; // what is left is never read again
  std::vector<fs::path> older;
  for (const auto& entry : fs::directory_iterator(options_.weights, ignored))
    if (entry.path() != folder_of(sending_)) older.push_back(entry.path());
  for (const auto& one : older) fs::remove_all(one, ignored);
}

void remote_engine::ready() {
  state_ = state::ready;
  if (std::exchange(said_away_, false) != false && options_.on_change) options_.on_change(false, {});
}

void remote_engine::away(const std::string& why) {
  if (control_ != 0) { // its answer is not waited for: everything begins with the question for its weights
    calls_.drop(control_);
    control_ = 0;
  }
  if (state_ == state::giving && speech_.fenced()) { // REM-6
    wanted_ = 0;
    look_ = true;
  }
  if (state_ != state::away) { // several turns are lost at once: that is one loss
    again_ = options_.time->now() + pause_;
    pause_ = std::min(pause_ * 2, duration(options_.longest_pause));
  }
  state_ = state::away;
  if (std::exchange(said_away_, true) != true && options_.on_change) options_.on_change(true, why);
}

// -- turns

void remote_engine::wait_again(turn& what) {
  what.call = 0;
  waiting_.emplace(what.place, what.ask.sequence);
}

void remote_engine::send_waiting() {
  while (!waiting_.empty() && static_cast<int>(asked_.size()) < options_.max_open) {
    auto& one = turns_.at(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
    one.label = wanted_;
    ++asks_;
    one.call = call(speech_.ask_completion(one.ask, options_.model, turn_id(one)), options_.answer_deadline);
    asked_.emplace(one.call, one.ask.sequence);
  }
}

std::string remote_engine::turn_id(const turn& what) const {
  return "troupe-" + std::to_string(options_.nonce) + "-" + std::to_string(what.ask.sequence) + "-" +
         std::to_string(asks_);
}

void remote_engine::take(turn& what, const http::response& answer) {
  auto parsed = json::parse(answer.body);
  auto made = parsed ? speech_.read_completion(*parsed, what.ask, options_.vocabulary)
                     : expected<completed>(fail(parsed.error()));
  if (!made) refused("reading a turn", made.error().message);
  if (!made->reason) return wait_again(what); // somebody paused it with `abort`
  const bool ours = std::all_of(made->labels.begin(), made->labels.end(), [&](std::uint64_t label) {
    return speech_.fenced() ? label == what.label : versions_.contains(label); // REM-6
  });
  if (!ours) { // REM-2
    wait_again(what);
    return away("its weights are not those of this run: it began anew, or somebody else gave it others");
  }
  pause_ = options_.first_pause; // it works
  finish(what, std::move(*made));
}

void remote_engine::finish(turn& what, completed made) {
  generated out{.sequence = what.ask.sequence};
  out.tokens = std::move(made.tokens);
  out.logprobs = std::move(made.logprobs);
  for (auto label : made.labels) out.versions.push_back(versions_.at(label));
  out.reason = *made.reason;
  out.cached_tokens = made.cached_tokens;
  stats_.decoded_tokens += out.tokens.size();
  stats_.reused_tokens += static_cast<std::uint64_t>(std::max(0, made.cached_tokens));
  stats_.prefilled_tokens += static_cast<std::uint64_t>(std::max(0, made.prompt_tokens - made.cached_tokens));
  if (what.ask.stream)
    for (std::size_t i = 0; i < out.tokens.size(); ++i)
      news_.push_back({out.sequence, i, out.tokens[i], out.logprobs[i], out.versions[i], {}});
  turns_.erase(out.sequence);
  ended_.push_back(std::move(out));
}

} // namespace

std::unique_ptr<engine_core> make_remote_engine(remote_options options) {
  std::error_code ignored; // an earlier life's weights, which nobody will ask for
  fs::remove_all(options.weights, ignored);
  return std::make_unique<remote_engine>(std::move(options));
}

} // namespace troupe

#include "sim/fake_policy.hpp"

#include "gym/chat.hpp"
#include "runtime/base/random.hpp"
#include <algorithm>
#include <bit>
#include <cmath>
#include <deque>
#include <stdexcept>

namespace troupe::sim {

std::shared_ptr<const tokenizer> words() {
  static const auto it =
      std::make_shared<const tokenizer>(*tokenizer::train({"yes no A: yes or no."}, 300, special_tokens()));
  return it;
}

float state_of(const model_weights& weights) {
  const auto found = weights.tensors.find("state");
  return found == weights.tensors.end() ? 0.0f : found->second.data[0];
}

namespace {

/// Where the policy's own words begin: behind the last mark of its role.
std::size_t turn_begin(const std::vector<token>& context) {
  const auto mark = *words()->special(assistant_role().text);
  const auto found = std::find(context.rbegin(), context.rend(), mark);
  return static_cast<std::size_t>(context.rend() - found);
}

class engine final : public engine_core {
public:
  engine(const script_options& options, std::function<void(std::uint64_t, float)> loaded,
         std::function<void()> sampled)
      : options_(options), loaded_(std::move(loaded)), sampled_(std::move(sampled)) {}
  void set_weights(weights_ptr weights, std::uint64_t version, kv_policy) override {
    version_ = version;
    logprob_ = logprob_of(state_of(*weights));
    loaded_(version, state_of(*weights));
  }
  expected<void> submit(generate_request request) override {
    if (request.context.empty()) return fail(errc::invalid, "an empty context");
    if (uniform_at(derive_seed(request.seed, "poison"), request.sequence, 0) < options_.poisonous)
      return fail(errc::internal, "a poisonous sequence");
    const auto begin = turn_begin(request.context);
    auto script = script_of(request.seed, request.sequence, begin, options_.calls);
    const auto known = request.context.size() - begin; // of a turn that goes on
    if (known >= script.size() ||
        !std::equal(script.begin(), script.begin() + static_cast<std::ptrdiff_t>(known),
                    request.context.begin() + static_cast<std::ptrdiff_t>(begin)))
      return fail(errc::internal, "the context goes on with what this policy has not written");
    script.erase(script.begin(), script.begin() + static_cast<std::ptrdiff_t>(known));
    running_.push_back({std::move(request), std::move(script), {}});
    return {};
  }
  bool cancel(std::uint64_t sequence) override {
    return std::erase_if(running_, [&](const auto& r) { return r.request.sequence == sequence; }) > 0;
  }
  void forget(std::uint64_t) override {}
  bool step(std::vector<generated>& finished, std::vector<token_news>* news) override {
    for (auto& r : running_) {
      r.out.sequence = r.request.sequence;
      const auto next = r.script[r.out.tokens.size()];
      r.out.tokens.push_back(next);
      r.out.logprobs.push_back(logprob_);
      r.out.versions.push_back(version_);
      if (news && r.request.stream)
        news->push_back({r.out.sequence, r.out.tokens.size() - 1, next, logprob_, version_, {}});
      ++stats_.decoded_tokens;
      sampled_();
    }
    std::erase_if(running_, [&](auto& r) {
      const bool stop = r.out.tokens.size() == r.script.size();
      const bool cut = static_cast<int>(r.out.tokens.size()) == r.request.max_new_tokens;
      if (!stop && !cut) return false;
      r.out.reason = stop ? finish_reason::stop : finish_reason::length;
      finished.push_back(std::move(r.out));
      return true;
    });
    ++stats_.steps;
    return !running_.empty();
  }
  engine_stats stats() const override { return stats_; }

private:
  struct running {
    generate_request request;
    std::vector<token> script;
    generated out;
  };
  script_options options_;
  std::function<void(std::uint64_t, float)> loaded_;
  std::function<void()> sampled_;
  float logprob_ = -1;
  std::deque<running> running_;
  std::uint64_t version_ = 0;
  engine_stats stats_;
};

class hasher final : public learner {
public:
  hasher(model_weights start, std::function<void(const optimizer_step&)> stepped)
      : weights_(std::move(start)), stepped_(std::move(stepped)) {
    if (!weights_.tensors.contains("state"))
      weights_.tensors = {{"state", {{1}, {0.0f}}}, {"warm_up", {{1}, {0.0f}}}};
  }
  expected<learn_stats> sft_step(const std::vector<sft_sample>& batch, double learning_rate) override {
    auto& data = weights_.tensors.at("warm_up").data;
    auto hash = derive_seed(static_cast<std::uint64_t>(data[0]), std::bit_cast<std::uint64_t>(learning_rate));
    hash = derive_seed(hash, ++steps_);
    for (const auto& s : batch)
      for (auto t : s.tokens) hash = derive_seed(hash, static_cast<std::uint64_t>(t));
    data[0] = static_cast<float>(hash & 0xffffff);
    return learn_stats{};
  }
  expected<learn_stats> rl_step(const std::vector<rl_sample>& batch, const std::vector<sft_sample>&,
                                const rl_options&, std::uint64_t version) override {
    auto& data = weights_.tensors.at("state").data;
    const float before = data[0];
    std::uint64_t hash = static_cast<std::uint64_t>(before) ^ version;
    hash = derive_seed(hash, static_cast<std::uint64_t>(weights_.tensors.at("warm_up").data[0]));
    learn_stats out;
    for (const auto& s : batch) {
      for (std::size_t t = 0; t < s.tokens.size(); ++t)
        if (s.mask[t] && s.versions[t] > version) // as the real one refuses it
          return fail(errc::invalid, s.id + " holds a token of a version newer than the learner's");
      hash = derive_seed(hash, s.id);
      for (auto t : s.tokens) hash = derive_seed(hash, static_cast<std::uint64_t>(t));
      hash = derive_seed(hash, std::bit_cast<std::uint64_t>(s.reward));
      hash = derive_seed(hash, std::bit_cast<std::uint64_t>(s.baseline));
      out.tokens += static_cast<std::int64_t>(s.tokens.size());
    }
    data[0] = static_cast<float>(hash & 0xffffff); // exact in a float
    stepped_({version, batch, before, data[0]});
    return out;
  }
  expected<std::vector<float>> logprobs(const std::vector<token>& tokens, double) override {
    return std::vector<float>(tokens.size(), -1.0f);
  }
  weights_ptr snapshot() override { return std::make_shared<const model_weights>(weights_); }
  model_weights optimizer_state() override { return {{}, {{"steps", {{1}, {static_cast<float>(steps_)}}}}}; }
  expected<void> restore(const model_weights& weights, const model_weights* optimizer) override {
    weights_ = weights;
    const bool knows = optimizer && optimizer->tensors.contains("steps");
    steps_ = knows ? static_cast<std::uint64_t>(optimizer->tensors.at("steps").data[0]) : 0;
    return {};
  }
  void reset_optimizer() override { steps_ = 0; }

private:
  model_weights weights_;
  std::uint64_t steps_ = 0; ///< of the warm-up: its optimizer's state
  std::function<void(const optimizer_step&)> stepped_;
};

class echo final : public tool {
public:
  explicit echo(const echo_options& options) : options_(options) {
    spec_.name = "search";
    spec_.idempotent = options.effects == nullptr;
    spec_.parameters =
        json::object{{"type", "object"},
                     {"properties", json::object{{"queries", json::object{{"type", "array"}}}}},
                     {"required", json::array{"queries"}}};
  }
  const tool_spec& spec() const override { return spec_; }
  expected<std::string> call(const json::object&, const tool_context& context) override {
    const double draw = uniform_at(derive_seed(1, context.idempotency_key), 0, 0);
    const bool poisonous = draw < options_.poisonous;
    if (!poisonous && draw < options_.poisonous + options_.failing)
      return fail(errc::io, "the search engine is away");
    if (options_.effects) ++(*options_.effects)[context.idempotency_key];
    if (poisonous) throw std::runtime_error("a poisonous call");
    return std::string(text);
  }
  tool_outcome outcome(const std::string& key) override {
    if (!options_.effects || !options_.tells_outcome) return {};
    if (!options_.effects->contains(key)) return {tool_outcome::fate::never, {}};
    return {tool_outcome::fate::done, std::string(text)};
  }

private:
  static constexpr const char* text = "A: yes or no.";
  tool_spec spec_;
  echo_options options_;
};

} // namespace

std::vector<token> script_of(std::uint64_t seed, std::uint64_t sequence, std::size_t begin, double calls) {
  const double draw = uniform_at(seed, sequence, begin), rest = (draw - calls) / (1 - calls);
  std::vector<text_piece> written;
  if (draw < calls)
    written = {{true, "<tool_call>"},
               {false, R"({"name":"search","arguments":{"queries":["a"]}})"},
               {true, "</tool_call>"}};
  else if (rest < 0.9)
    written = {{true, "<answer>"}, {false, rest < 0.5 ? "yes" : "no"}, {true, "</answer>"}};
  else
    written = {{false, "hm"}};
  written.push_back({true, std::string(end_token)});
  return words()->encode(written);
}

float logprob_of(float state) { return -1 - std::fmod(state, 1024.0f) / 1024; }

std::unique_ptr<engine_core> scripted_engine(const script_options& options,
                                             std::function<void(std::uint64_t, float)> loaded,
                                             std::function<void()> sampled) {
  return std::make_unique<engine>(options, std::move(loaded), std::move(sampled));
}

std::unique_ptr<learner> hashing_learner(const model_weights& start,
                                         std::function<void(const optimizer_step&)> stepped) {
  return std::make_unique<hasher>(start, std::move(stepped));
}

std::shared_ptr<tool> echo_tool(const echo_options& options) { return std::make_shared<echo>(options); }

} // namespace troupe::sim

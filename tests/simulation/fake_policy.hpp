#pragma once

#include "actors/context.hpp"
#include "gym/chat.hpp"

#include <deque>

namespace troupe::fakes {

/// A policy without tensors: it writes a search call, an answer or nonsense, chosen by (seed, sequence, place in the context) alone,
/// one token a step. Everything else (actors, tokenizer, parser, store) is real.
class scripted_engine final : public engine_core {
public:
  explicit scripted_engine(std::shared_ptr<const tokenizer> words) : words_(std::move(words)) {}
  void set_weights(weights_ptr, std::uint64_t version, kv_policy) override { version_ = version; }
  expected<void> submit(generate_request request) override {
    if (request.context.empty()) return fail(errc::invalid, "an empty context");
    const double draw = uniform_at(request.seed, request.sequence, request.context.size());
    std::vector<text_piece> written;
    if (draw < 0.5)
      written = {{true, "<tool_call>"},
                 {false, R"({"name":"search","arguments":{"queries":["a"]}})"},
                 {true, "</tool_call>"}};
    else if (draw < 0.95)
      written = {{true, "<answer>"}, {false, draw < 0.75 ? "yes" : "no"}, {true, "</answer>"}};
    else
      written = {{false, "hm"}};
    written.push_back({true, std::string(end_token)});
    running_.push_back({std::move(request), words_->encode(written), {}});
    return {};
  }
  bool cancel(std::uint64_t sequence) override {
    return std::erase_if(running_, [&](const auto& r) { return r.request.sequence == sequence; }) > 0;
  }
  void forget(std::uint64_t) override {}
  bool step(std::vector<generated>& finished) override {
    for (auto& r : running_) {
      r.out.sequence = r.request.sequence;
      const auto next = r.script[r.out.tokens.size()];
      r.out.tokens.push_back(next);
      r.out.logprobs.push_back(-1.0f);
      r.out.versions.push_back(version_);
      ++stats_.decoded_tokens;
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
  std::shared_ptr<const tokenizer> words_;
  std::deque<running> running_;
  std::uint64_t version_ = 0;
  engine_stats stats_;
};

/// Weights that are a running hash of everything trained on, in order: two runs with the same hash trained on the same samples.
class hashing_learner final : public learner {
public:
  explicit hashing_learner(model_weights start) : weights_(std::move(start)) {}
  expected<learn_stats> sft_step(const std::vector<sft_sample>&, double) override { return learn_stats{}; }
  expected<learn_stats> rl_step(const std::vector<rl_sample>& batch, const std::vector<sft_sample>&,
                                const rl_options&, std::uint64_t version) override {
    auto& data = weights_.tensors.at("state").data;
    std::uint64_t hash = static_cast<std::uint64_t>(data[0]) ^ version;
    for (const auto& s : batch) {
      hash = derive_seed(hash, s.id);
      for (auto t : s.tokens) hash = derive_seed(hash, static_cast<std::uint64_t>(t));
    }
    data[0] = static_cast<float>(hash & 0xffffff); // exact in a float
    learn_stats out;
    for (const auto& s : batch) out.tokens += static_cast<std::int64_t>(s.tokens.size());
    return out;
  }
  expected<std::vector<float>> logprobs(const std::vector<token>& tokens, double) override {
    return std::vector<float>(tokens.size(), -1.0f);
  }
  weights_ptr snapshot() override { return std::make_shared<const model_weights>(weights_); }
  model_weights optimizer_state() override { return {}; }
  expected<void> restore(const model_weights& weights, const model_weights*) override {
    weights_ = weights;
    return {};
  }
  void reset_optimizer() override {}

private:
  model_weights weights_;
};

/// Answers every search with one line.
class echo_tool final : public tool {
public:
  echo_tool() {
    spec_.name = "search";
    spec_.parameters =
        json::object{{"type", "object"},
                     {"properties", json::object{{"queries", json::object{{"type", "array"}}}}},
                     {"required", json::array{"queries"}}};
  }
  const tool_spec& spec() const override { return spec_; }
  expected<std::string> call(const json::object&, const tool_context&) override {
    return std::string("A: yes or no.");
  }

private:
  tool_spec spec_;
};

} // namespace troupe::fakes

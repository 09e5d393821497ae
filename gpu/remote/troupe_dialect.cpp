#include "gpu/remote/read_turn.hpp"

/// `troupe serve`: completions by OpenAI's API with vLLM's token ids, weight versions by token, draws keyed as those of an engine inside a run.
namespace troupe::remote {

namespace {

/// A number for each token.
expected<std::vector<std::uint64_t>> labels_of(const json::object& choice, std::size_t) {
  const auto versions = needed(choice, "weight_versions", "the choice", "which weights sampled each token");
  if (!versions) return fail(versions.error());
  std::vector<std::uint64_t> out;
  for (const auto& label : **versions) {
    if (!label.is_int64() || label.get_int64() < 0)
      return fail(errc::invalid,
                  "found the weight version " + json::dump(label) + ", expected a whole number");
    out.push_back(static_cast<std::uint64_t>(label.get_int64()));
  }
  return out;
}

class troupe_speech final : public server_dialect {
public:
  std::string_view name() const override { return "troupe"; }
  bool fenced() const override { return false; }
  std::string_view when_tempered() const override { return {}; }
  expected<void> check(const generate_request&) const override { return {}; }

  question ask_completion(const generate_request& request, const std::string& model,
                          const std::string&) const override {
    const auto& how = request.sampling;
    // JSON's integers are signed: the same 64 bits
    json::object body{
        {"model", model},
        {"prompt", json::array(request.context.begin(), request.context.end())},
        {"max_tokens", request.max_new_tokens},
        {"min_tokens", request.min_new_tokens},
        {"ignore_eos", true}, // the run says what ends a turn
        {"stop_token_ids", json::array(request.stop.begin(), request.stop.end())},
        {"temperature", how.temperature},
        {"top_p", how.top_p},
        {"top_k", how.top_k > 0 ? how.top_k : -1},
        {"min_p", how.min_p},
        {"repetition_penalty", how.repetition_penalty},
        {"seed", static_cast<std::int64_t>(request.seed)},
        {"seed_stream", static_cast<std::int64_t>(request.draws_by_seed ? 0 : request.sequence)},
        {"priority", request.priority},
        {"logprobs", 0},
        {"return_token_ids", true}};
    return {"POST", "/v1/completions", std::move(body)};
  }

  expected<completed> read_completion(const json::value& answer, const generate_request& request,
                                      int vocabulary) const override {
    return openai_turn(answer, labels_of, request, vocabulary);
  }

  question ask_likeliest(double, const std::string&, const std::string&) const override { return {}; }
  expected<std::vector<double>> read_likeliest(const json::value&) const override {
    return std::vector<double>{};
  }
  std::string_view control_hint() const override { return {}; }

  question ask_weight_label() const override { return {"GET", "/weight_info"}; }
  expected<std::uint64_t> read_weight_label(const json::value& answer) const override {
    const auto text = weight_version_in(answer, "weight_info");
    if (!text) return fail(text.error());
    if (*text != "0" && label_of(*text) == 0)
      return fail(errc::invalid, "found the weight_version \"" + *text + "\", expected a whole number");
    return label_of(*text);
  }
  std::vector<control_step> give_weights(const std::string& folder, std::uint64_t label,
                                         bool recompute) const override {
    return {
        {{"POST", "/pause?mode=keep"}, "pausing it"}, // what runs is frozen, and goes on afterwards
        {{"POST", "/update_weights_from_disk",
          json::object{
              {"model_path", folder}, {"weight_version", std::to_string(label)}, {"flush_cache", recompute}}},
         "giving it new weights",
         control_step::kind::load}};
  }
  question ask_resume() const override { return {"POST", "/resume"}; }
};

} // namespace

const server_dialect& troupe_dialect() {
  static const troupe_speech it;
  return it;
}

} // namespace troupe::remote

#include "gpu/remote/read_turn.hpp"

/// vLLM, by the API of its version 0.33.0 with VLLM_SERVER_DEV_MODE=1: completions by token ids, whose answers say by spans which label of
/// weights sampled them; weights by `reload_weights` from a folder. That route knows no label: it is set after it, and the server is asked
/// whether it is still the one that was paused, so that one that began anew in between does not get the label of weights that it has not.
namespace troupe::remote {

namespace {

expected<void> succeeded(const json::value& answer) {
  if (says(answer, "success")) return {};
  return fail(errc::unavailable, "found the answer " + json::dump(answer) + ", expected \"success\": true");
}

expected<void> still_paused(const json::value& answer) {
  if (says(answer, "is_paused")) return {};
  return fail(errc::unavailable, "it is not paused any more: it began anew while it was given weights");
}

expected<std::vector<std::uint64_t>> labels_of(const json::object& choice, std::size_t tokens) {
  const auto spans =
      needed(choice, "weight_versions", "the choice",
             "which weights sampled each token: return_weight_versions, as vLLM 0.33.0 has it");
  if (!spans) return fail(spans.error());
  return labels_of_spans(**spans, tokens);
}

class vllm_speech final : public server_dialect {
public:
  std::string_view name() const override { return "vllm"; }
  bool fenced() const override { return true; }
  std::string_view when_tempered() const override { return "with --logprobs-mode processed_logprobs"; }
  expected<void> check(const generate_request& request) const override { return temperature_alone(request); }

  question ask_completion(const generate_request& request, const std::string& model,
                          const std::string& id) const override {
    auto body = sampling(request.sampling.temperature, model, id);
    body["prompt"] = json::array(request.context.begin(), request.context.end());
    body["max_tokens"] = request.max_new_tokens;
    body["stop_token_ids"] = json::array(request.stop.begin(), request.stop.end());
    body["seed"] = seed_of_turn(request);
    body["logprobs"] = 0;
    body["return_token_ids"] = true;
    body["return_weight_versions"] = true;
    return {"POST", "/v1/completions", std::move(body)};
  }

  expected<completed> read_completion(const json::value& answer, const generate_request& request,
                                      int vocabulary) const override {
    return openai_turn(answer, labels_of, request, vocabulary);
  }

  question ask_likeliest(double temperature, const std::string& model, const std::string& id) const override {
    auto body = sampling(temperature, model, id);
    body["prompt"] = json::array{0};
    body["max_tokens"] = 1;
    body["logprobs"] = 5;
    body["return_tokens_as_token_ids"] = true; // two tokens may have the same text
    return {"POST", "/v1/completions", std::move(body)};
  }

  expected<std::vector<double>> read_likeliest(const json::value& answer) const override {
    const auto choice = only_choice(answer);
    if (!choice) return fail(choice.error());
    if (const auto reason = json::string_at(**choice, "finish_reason"); reason && *reason == "abort")
      return fail(errc::unavailable, "it ended a request itself");
    const auto beside = json::object_at(**choice, "logprobs");
    if (!beside) return fail(beside.error());
    const auto places =
        needed(**beside, "top_logprobs", "its logprobs", "the likeliest tokens beside each sampled one");
    if (!places) return fail(places.error());
    json::array values;
    if (!(*places)->empty() && (*places)->front().is_object())
      for (const auto& [token, logprob] : (*places)->front().get_object()) values.push_back(logprob);
    return sorted_logprobs(values);
  }

  std::string_view control_hint() const override {
    return "vLLM has its control routes where VLLM_SERVER_DEV_MODE=1 is in its environment";
  }

  question ask_weight_label() const override { return {"GET", "/weight_info"}; }
  expected<std::uint64_t> read_weight_label(const json::value& answer) const override {
    const auto text = weight_version_in(answer, "weight_info");
    if (!text) return fail(text.error());
    return label_of(*text);
  }

  std::vector<control_step> give_weights(const std::string& folder, std::uint64_t label,
                                         bool) const override {
    return {{{"POST", "/pause?mode=abort"}, "pausing it"},
            {{"POST", "/collective_rpc",
              json::object{{"method", "reload_weights"}, {"kwargs", json::object{{"weights_path", folder}}}}},
             "giving it new weights",
             control_step::kind::load},
            {{"POST", "/reset_prefix_cache"}, "emptying its cache", control_step::kind::other, succeeded},
            {{"POST", "/update_weight_version", json::object{{"new_version", std::to_string(label)}}},
             "labelling its weights"},
            {{"GET", "/is_paused"},
             "asking whether it is still paused",
             control_step::kind::other,
             still_paused}};
  }
  question ask_resume() const override { return {"POST", "/resume"}; }

private:
  /// All that shapes the distribution is said, so that nothing comes from the model's generation_config.json.
  static json::object sampling(double temperature, const std::string& model, const std::string& id) {
    return {{"model", model},
            {"request_id", id},
            {"temperature", temperature},
            {"top_p", 1.0},
            {"top_k", 0},
            {"min_p", 0.0},
            {"repetition_penalty", 1.0},
            {"presence_penalty", 0.0},
            {"frequency_penalty", 0.0},
            {"ignore_eos", true}}; // the run says what ends a turn
  }
};

} // namespace

const server_dialect& vllm_dialect() {
  static const vllm_speech it;
  return it;
}

} // namespace troupe::remote

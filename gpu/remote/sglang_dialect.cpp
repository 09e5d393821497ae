#include "gpu/remote/read_turn.hpp"

/// SGLang, by the API of its version 0.5.23: /generate by token ids, whose answers say which label of weights sampled them; weights and their
/// label in one call, from a folder.
namespace troupe::remote {

namespace {

expected<void> succeeded(const json::value& answer) {
  if (says(answer, "success")) return {};
  return fail(errc::invalid, "found the answer " + json::dump(answer) + ", expected \"success\": true");
}

expected<const json::object*> meta_of(const json::value& answer) {
  const auto* body = answer.if_object();
  if (!body) return fail(errc::invalid, "found an answer of /generate that is no object");
  return json::object_at(*body, "meta_info");
}

class sglang_speech final : public server_dialect {
public:
  std::string_view name() const override { return "sglang"; }
  bool fenced() const override { return true; }
  std::string_view when_tempered() const override { return "without SGLANG_RETURN_ORIGINAL_LOGPROB"; }
  expected<void> check(const generate_request& request) const override { return temperature_alone(request); }

  question ask_completion(const generate_request& request, const std::string&,
                          const std::string& id) const override {
    auto how = sampling(request.sampling.temperature, request.max_new_tokens);
    how["stop_token_ids"] = json::array(request.stop.begin(), request.stop.end());
    how["sampling_seed"] = seed_of_turn(request);
    return {"POST", "/generate",
            json::object{{"rid", id},
                         {"input_ids", json::array(request.context.begin(), request.context.end())},
                         {"sampling_params", std::move(how)},
                         {"return_logprob", true}}};
  }

  expected<completed> read_completion(const json::value& answer, const generate_request& request,
                                      int vocabulary) const override {
    const auto meta = meta_of(answer);
    if (!meta) return fail(meta.error());
    const auto ended = json::object_at(**meta, "finish_reason");
    if (!ended) return fail(ended.error());
    const auto how = ending_in(**ended, "type");
    if (!how) return fail(how.error());
    if (*how == ending::abort) return completed{};
    const auto ids = needed(answer.get_object(), "output_ids", "it", "which tokens were sampled");
    if (!ids) return fail(ids.error());
    const auto triples = needed(**meta, "output_token_logprobs", "meta_info", "the sampled tokens'");
    if (!triples) return fail(triples.error());
    json::array values;
    for (std::size_t i = 0; i < (*triples)->size(); ++i) { // [logprob, token, text]
      const auto* one = (**triples)[i].if_array();
      if (!one || one->size() < 2)
        return fail(errc::invalid, "found " + json::dump((**triples)[i]) +
                                       " in output_token_logprobs, expected [logprob, token, text]");
      if (i < (*ids)->size() && (*one)[1] != (**ids)[i])
        return fail(errc::invalid, "found the logprob of the token " + json::dump((*one)[1]) +
                                       ", expected of " + json::dump((**ids)[i]));
      values.push_back((*one)[0]);
    }
    auto labels = labels_of(**meta, (*ids)->size());
    if (!labels) return fail(labels.error());
    auto out = whole_turn(**ids, values, std::move(*labels), *how, request, vocabulary);
    if (!out) return out;
    out->prompt_tokens = static_cast<int>(json::int_at(**meta, "prompt_tokens").value_or(0));
    out->cached_tokens = static_cast<int>(json::int_at(**meta, "cached_tokens").value_or(0));
    return out;
  }

  /// By a token whose logprob is asked for beside: tokens of a prompt are not held to the vocabulary.
  question ask_probe(const generate_request& one, int vocabulary, const std::string& model,
                     const std::string& id) const override {
    auto first = one;
    first.context = {0};
    auto out = ask_completion(first, model, id);
    out.body.as_object()["token_ids_logprob"] = json::array{vocabulary - 1};
    return out;
  }

  question ask_likeliest(double temperature, const std::string&, const std::string& id) const override {
    return {"POST", "/generate",
            json::object{{"rid", id},
                         {"input_ids", json::array{0}},
                         {"sampling_params", sampling(temperature, 1)},
                         {"return_logprob", true},
                         {"top_logprobs_num", 5}}};
  }

  expected<std::vector<double>> read_likeliest(const json::value& answer) const override {
    const auto meta = meta_of(answer);
    if (!meta) return fail(meta.error());
    if (const auto ended = json::object_at(**meta, "finish_reason");
        ended && json::string_at(**ended, "type").value_or("") == "abort")
      return fail(errc::unavailable, "it ended a request itself");
    const auto places = needed(**meta, "output_top_logprobs", "meta_info", "the likeliest tokens");
    if (!places) return fail(places.error());
    json::array values;
    if (!(*places)->empty() && (*places)->front().is_array())
      for (const auto& one : (*places)->front().get_array())
        values.push_back(one.is_array() && !one.get_array().empty() ? one.get_array()[0] : json::value(one));
    return sorted_logprobs(values);
  }

  std::string_view control_hint() const override { return {}; }

  question ask_weight_label() const override { return {"GET", "/model_info"}; }
  expected<std::uint64_t> read_weight_label(const json::value& answer) const override {
    const auto text = weight_version_in(answer, "model_info");
    if (!text) return fail(text.error());
    return label_of(*text);
  }

  std::vector<control_step> give_weights(const std::string& folder, std::uint64_t label,
                                         bool) const override {
    return {{{"POST", "/pause_generation", json::object{{"mode", "abort"}}}, "pausing it"},
            {{"POST", "/update_weights_from_disk",
              json::object{
                  {"model_path", folder}, {"weight_version", std::to_string(label)}, {"flush_cache", true}}},
             "giving it new weights",
             control_step::kind::load,
             succeeded}};
  }
  question ask_resume() const override { return {"POST", "/continue_generation", json::object{}}; }

private:
  static json::object sampling(double temperature, int max_new_tokens) {
    return {{"max_new_tokens", max_new_tokens},
            {"temperature", temperature},
            {"top_p", 1.0},
            {"top_k", -1},
            {"min_p", 0.0},
            {"repetition_penalty", 1.0},
            {"presence_penalty", 0.0},
            {"frequency_penalty", 0.0},
            {"ignore_eos", true}, // the run says what ends a turn
            {"no_stop_trim", true},
            {"skip_special_tokens", false}};
  }

  /// By spans where it says so, else one label of all.
  static expected<std::vector<std::uint64_t>> labels_of(const json::object& meta, std::size_t tokens) {
    if (const auto* spans = meta.if_contains("weight_versions"); spans && spans->is_array())
      return labels_of_spans(spans->get_array(), tokens);
    const auto one = json::string_at(meta, "weight_version");
    if (!one)
      return fail(errc::invalid, "found a completion where " + found(meta, "weight_version") +
                                     " in meta_info, expected the label of the weights that sampled it");
    return std::vector<std::uint64_t>(tokens, label_of(*one));
  }
};

} // namespace

const server_dialect& sglang_dialect() {
  static const sglang_speech it;
  return it;
}

} // namespace troupe::remote

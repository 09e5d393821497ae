#include "gpu/remote/server_dialect.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::remote {

namespace {

std::string found(const json::object& in, std::string_view key) {
  const auto* it = in.if_contains(key);
  return it ? "\"" + std::string(key) + "\" is " + std::string(json::type_name(*it))
            : "there is no \"" + std::string(key) + "\"";
}

/// The array of a choice that a run cannot do without.
expected<const json::array*> needed(const json::object& in, std::string_view key, const std::string& where,
                                    std::string_view why) {
  const auto* it = in.if_contains(key);
  if (it && it->is_array()) return &it->get_array();
  return fail(errc::invalid, "found a completion where " + found(in, key) + " in " + where +
                                 ", expected an array (" + std::string(why) + ")");
}

} // namespace

question ask_models() { return {"GET", "/v1/models"}; }

expected<served_model> read_models(const json::value& answer) {
  const auto* body = answer.if_object();
  if (!body) return fail(errc::invalid, "found a list of models that is no object");
  const auto list = json::array_at(*body, "data");
  if (!list) return fail(list.error());
  if ((*list)->empty() || !(*list)->front().is_object())
    return fail(errc::invalid, "found a list of models without one, expected the model that is served");
  const auto& first = (*list)->front().get_object();
  auto name = json::string_at(first, "id");
  if (!name) return fail(name.error());
  return served_model{std::move(*name), json::int_at(first, "max_model_len").value_or(0)};
}

question ask_completion(const generate_request& request, const std::string& model) {
  const auto& how = request.sampling;
  // JSON's integers are signed: the same 64 bits
  json::object body{{"model", model},
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
                                    int vocabulary) {
  const auto bad = [](std::string what) { return fail(errc::invalid, "found " + std::move(what)); };
  const auto* body = answer.if_object();
  if (!body) return bad("a completion that is no object");
  const auto choices = json::array_at(*body, "choices");
  if (!choices) return fail(choices.error());
  if ((*choices)->size() != 1 || !(*choices)->front().is_object())
    return bad(std::to_string((*choices)->size()) + " choices, expected one");
  const auto& choice = (*choices)->front().get_object();
  const auto ids = needed(choice, "token_ids", "the choice", "which tokens were sampled: return_token_ids");
  if (!ids) return fail(ids.error());
  const auto* beside = choice.if_contains("logprobs");
  if (!beside || !beside->is_object())
    return bad("a completion where " + found(choice, "logprobs") +
               " in the choice, expected an object with \"token_logprobs\"");
  const auto values = needed(beside->get_object(), "token_logprobs", "its logprobs", "the sampled tokens'");
  if (!values) return fail(values.error());
  const auto labels = needed(choice, "weight_versions", "the choice", "which weights sampled each token");
  if (!labels) return fail(labels.error());
  if ((*ids)->size() != (*values)->size() || (*ids)->size() != (*labels)->size())
    return bad(std::to_string((*ids)->size()) + " token ids, " + std::to_string((*values)->size()) +
               " logprobs and " + std::to_string((*labels)->size()) + " weight versions, expected as many");
  if ((*ids)->size() > static_cast<std::size_t>(request.max_new_tokens))
    return bad(std::to_string((*ids)->size()) + " tokens, expected at most " +
               std::to_string(request.max_new_tokens));
  completed out;
  for (std::size_t i = 0; i < (*ids)->size(); ++i) {
    const auto& id = (**ids)[i];
    const auto& logprob = (**values)[i];
    const auto& label = (**labels)[i];
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() >= vocabulary)
      return bad("the token " + json::dump(id) + ", expected 0 to " + std::to_string(vocabulary - 1));
    if (!logprob.is_number() || !std::isfinite(logprob.to_number<double>()))
      return bad("the logprob " + json::dump(logprob) + ", expected a number");
    if (!label.is_int64() || label.get_int64() < 0)
      return bad("the weight version " + json::dump(label) + ", expected a whole number");
    out.tokens.push_back(static_cast<token>(id.get_int64()));
    out.logprobs.push_back(static_cast<float>(logprob.to_number<double>()));
    out.labels.push_back(static_cast<std::uint64_t>(label.get_int64()));
  }
  const auto reason = json::string_at(choice, "finish_reason");
  if (!reason) return fail(reason.error());
  const bool ended = *reason == "stop" || *reason == "tool_calls";
  if (!ended && *reason != "length" && *reason != "abort")
    return bad("the finish_reason \"" + *reason + "\", expected stop, length or abort");
  if (*reason != "abort") {
    if (out.tokens.empty()) return bad("a completion without tokens, expected one at least");
    const bool stopped =
        std::find(request.stop.begin(), request.stop.end(), out.tokens.back()) != request.stop.end();
    if (ended && !stopped)
      return bad("a completion that ends with \"stop\" after the token " + std::to_string(out.tokens.back()) +
                 ", expected one of stop_token_ids as its last token");
    out.reason = ended ? finish_reason::stop : finish_reason::length;
  }
  if (const auto usage = json::object_at(*body, "usage")) {
    out.prompt_tokens = static_cast<int>(json::int_at(**usage, "prompt_tokens").value_or(0));
    if (const auto details = json::object_at(**usage, "prompt_tokens_details"))
      out.cached_tokens = static_cast<int>(json::int_at(**details, "cached_tokens").value_or(0));
  }
  return out;
}

question ask_weight_label() { return {"GET", "/weight_info"}; }

expected<std::uint64_t> read_weight_label(const json::value& answer) {
  const auto* body = answer.if_object();
  if (!body) return fail(errc::invalid, "found a weight_info that is no object");
  const auto text = json::string_at(*body, "weight_version");
  if (!text) return fail(text.error());
  if (text->empty() || text->size() > 18 || text->find_first_not_of("0123456789") != text->npos)
    return fail(errc::invalid, "found the weight_version \"" + *text + "\", expected a whole number");
  return std::stoull(*text);
}

question ask_pause() { return {"POST", "/pause?mode=keep"}; }

question ask_resume() { return {"POST", "/resume"}; }

question ask_update(const std::string& folder, std::uint64_t label, bool recompute) {
  return {"POST", "/update_weights_from_disk",
          json::object{
              {"model_path", folder}, {"weight_version", std::to_string(label)}, {"flush_cache", recompute}}};
}

bool may_pass(int status) { return status == 408 || status == 409 || status == 429 || status >= 500; }

std::string status_text(const http::response& answer) {
  auto out = std::to_string(answer.status) + " " + std::string(http::reason(answer.status));
  std::string said = answer.body.substr(0, 300);
  if (const auto parsed = json::parse(answer.body); parsed && parsed->is_object())
    if (const auto inner = json::object_at(parsed->get_object(), "error"))
      said = json::string_at(**inner, "message").value_or(said);
  return said.empty() ? out : out + ": " + said;
}

} // namespace troupe::remote

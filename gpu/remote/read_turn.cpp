#include "gpu/remote/read_turn.hpp"

#include "runtime/base/random.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::remote {

namespace {

auto bad(std::string what) { return fail(errc::invalid, "found " + std::move(what)); }

constexpr double rounding = 1e-3; ///< a logprob may be so much above 0

} // namespace

std::string found(const json::object& in, std::string_view key) {
  const auto* it = in.if_contains(key);
  return it ? "\"" + std::string(key) + "\" is " + std::string(json::type_name(*it))
            : "there is no \"" + std::string(key) + "\"";
}

expected<const json::array*> needed(const json::object& in, std::string_view key, const std::string& where,
                                    std::string_view why) {
  const auto* it = in.if_contains(key);
  if (it && it->is_array()) return &it->get_array();
  return bad("a completion where " + found(in, key) + " in " + where + ", expected an array (" +
             std::string(why) + ")");
}

expected<const json::object*> only_choice(const json::value& answer) {
  const auto* body = answer.if_object();
  if (!body) return bad("a completion that is no object");
  const auto choices = json::array_at(*body, "choices");
  if (!choices) return fail(choices.error());
  if ((*choices)->size() != 1 || !(*choices)->front().is_object())
    return bad(std::to_string((*choices)->size()) + " choices, expected one");
  return &(*choices)->front().get_object();
}

bool says(const json::value& answer, std::string_view key) {
  const auto* body = answer.if_object();
  const auto* it = body ? body->if_contains(key) : nullptr;
  return it && it->is_bool() && it->get_bool();
}

expected<ending> ending_in(const json::object& in, std::string_view key) {
  const auto word = json::string_at(in, key);
  if (!word) return fail(word.error());
  if (*word == "stop" || *word == "tool_calls") return ending::stop;
  if (*word == "length") return ending::length;
  if (*word == "abort") return ending::abort;
  return bad("the finish_reason \"" + std::string(*word) + "\", expected stop, length or abort");
}

expected<completed> whole_turn(const json::array& ids, const json::array& logprobs,
                               std::vector<std::uint64_t> labels, ending how, const generate_request& request,
                               int vocabulary) {
  if (ids.size() != logprobs.size() || ids.size() != labels.size())
    return bad(std::to_string(ids.size()) + " token ids, " + std::to_string(logprobs.size()) +
               " logprobs and " + std::to_string(labels.size()) + " weight versions, expected as many");
  if (ids.size() > static_cast<std::size_t>(request.max_new_tokens))
    return bad(std::to_string(ids.size()) + " tokens, expected at most " +
               std::to_string(request.max_new_tokens));
  completed out;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto& id = ids[i];
    const auto& logprob = logprobs[i];
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() >= vocabulary)
      return bad("the token " + json::dump(id) + ", expected 0 to " + std::to_string(vocabulary - 1));
    if (!logprob.is_number() || !std::isfinite(logprob.to_number<double>()))
      return bad("the logprob " + json::dump(logprob) + ", expected a number");
    const auto value = logprob.to_number<double>();
    if (value > rounding) return bad("the logprob " + json::dump(logprob) + ", expected one of at most 0");
    out.tokens.push_back(static_cast<token>(id.get_int64()));
    out.logprobs.push_back(static_cast<float>(value));
  }
  out.labels = std::move(labels);
  if (how == ending::abort) return out;
  if (out.tokens.empty()) return bad("a completion without tokens, expected one at least");
  const bool stopped =
      std::find(request.stop.begin(), request.stop.end(), out.tokens.back()) != request.stop.end();
  if (how == ending::stop && !stopped)
    return bad("a completion that ends with \"stop\" after the token " + std::to_string(out.tokens.back()) +
               ", expected one of stop_token_ids as its last token");
  out.reason = how == ending::stop ? finish_reason::stop : finish_reason::length;
  return out;
}

expected<completed> openai_turn(const json::value& answer, labels_reader labels,
                                const generate_request& request, int vocabulary) {
  const auto choice = only_choice(answer);
  if (!choice) return fail(choice.error());
  const auto how = ending_in(**choice, "finish_reason");
  if (!how) return fail(how.error());
  if (*how == ending::abort) return completed{};
  const auto ids = needed(**choice, "token_ids", "the choice", "which tokens were sampled: return_token_ids");
  if (!ids) return fail(ids.error());
  const auto* beside = (*choice)->if_contains("logprobs");
  if (!beside || !beside->is_object())
    return bad("a completion where " + found(**choice, "logprobs") +
               " in the choice, expected an object with \"token_logprobs\"");
  const auto values = needed(beside->get_object(), "token_logprobs", "its logprobs", "the sampled tokens'");
  if (!values) return fail(values.error());
  auto known = labels(**choice, (*ids)->size());
  if (!known) return fail(known.error());
  auto out = whole_turn(**ids, **values, std::move(*known), *how, request, vocabulary);
  if (!out) return out;
  if (const auto usage = json::object_at(answer.get_object(), "usage")) {
    out->prompt_tokens = static_cast<int>(json::int_at(**usage, "prompt_tokens").value_or(0));
    if (const auto details = json::object_at(**usage, "prompt_tokens_details"))
      out->cached_tokens = static_cast<int>(json::int_at(**details, "cached_tokens").value_or(0));
  }
  return out;
}

expected<std::string> weight_version_in(const json::value& answer, std::string_view what) {
  const auto* body = answer.if_object();
  if (!body) return bad("a " + std::string(what) + " that is no object");
  return json::string_at(*body, "weight_version");
}

std::uint64_t label_of(std::string_view text) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != text.npos) return 0;
  return std::stoull(std::string(text));
}

expected<std::vector<std::uint64_t>> labels_of_spans(const json::array& spans, std::size_t tokens) {
  std::vector<std::uint64_t> out;
  for (const auto& one : spans) {
    const auto* span = one.if_object();
    if (!span) return bad("a span of weight_versions that is " + std::string(json::type_name(one)));
    const auto version = json::string_at(*span, "version");
    const auto start = json::int_at(*span, "start"), end = json::int_at(*span, "end");
    for (const auto* problem : {version ? nullptr : &version.error(), start ? nullptr : &start.error(),
                                end ? nullptr : &end.error()})
      if (problem) return fail(errc::invalid, "found a span of weight_versions where " + problem->message);
    if (*start != static_cast<std::int64_t>(out.size()) || *end < *start ||
        *end > static_cast<std::int64_t>(tokens))
      return bad("weight_versions of the tokens " + std::to_string(*start) + " to " + std::to_string(*end) +
                 " after " + std::to_string(out.size()) + " of " + std::to_string(tokens) +
                 ", expected each token once");
    out.resize(static_cast<std::size_t>(*end), label_of(*version));
  }
  if (out.size() != tokens)
    return bad("weight_versions of " + std::to_string(out.size()) + " tokens, expected of " +
               std::to_string(tokens));
  return out;
}

std::int64_t seed_of_turn(const generate_request& request) {
  const auto stream = request.draws_by_seed ? request.draw_stream : request.sequence;
  const auto seed = derive_seed(derive_seed(request.seed, stream), request.context.size());
  return static_cast<std::int64_t>(seed >> 1);
}

expected<void> temperature_alone(const generate_request& request) {
  auto plain = sampling_params{};
  plain.temperature = request.sampling.temperature;
  if (request.sampling == plain && request.min_new_tokens == 0) return {};
  return fail(errc::invalid, "found top_p, top_k, min_p, a repetition penalty or min_tokens, expected a "
                             "temperature alone of this kind of server");
}

expected<std::vector<double>> sorted_logprobs(const json::array& values) {
  std::vector<double> out;
  for (const auto& one : values) {
    if (!one.is_number()) return bad("the logprob " + json::dump(one) + ", expected a number");
    out.push_back(one.to_number<double>());
  }
  if (out.empty()) return bad("no logprobs of the likeliest tokens, expected one at least");
  std::sort(out.begin(), out.end(), std::greater<>());
  return out;
}

} // namespace troupe::remote

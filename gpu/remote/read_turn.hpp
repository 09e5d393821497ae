#pragma once

#include "gpu/remote/server_dialect.hpp"

/// What the answers of all servers have in common: how the parts of a turn are found, and what they are held to.
namespace troupe::remote {

/// `"key" is null`, `there is no "key"`: what was found in place of something else.
std::string found(const json::object& in, std::string_view key);

/// An array that a run cannot do without. Errors: invalid, naming the place and why it is needed.
expected<const json::array*> needed(const json::object& in, std::string_view key, const std::string& where,
                                    std::string_view why);

/// The one choice of a completion. Errors: invalid.
expected<const json::object*> only_choice(const json::value& answer);

/// Whether the answer is an object where this key is true.
bool says(const json::value& answer, std::string_view key);

/// How the server says that a turn ended.
enum class ending : std::uint8_t { stop, length, abort };
/// Errors: invalid, for another word or none.
expected<ending> ending_in(const json::object& in, std::string_view key);

/// Puts a turn together. Errors: invalid, where the parts are of different lengths, a token is not of the vocabulary, a logprob is none, there
/// are more tokens than asked for, or it stopped for another reason than the request's.
expected<completed> whole_turn(const json::array& ids, const json::array& logprobs,
                               std::vector<std::uint64_t> labels, ending how, const generate_request& request,
                               int vocabulary);

/// A completion of OpenAI's API with vLLM's token ids. `labels` are read from its choice, for so many tokens; one that the server ended itself
/// has neither tokens nor a reason. Errors: invalid.
using labels_reader = expected<std::vector<std::uint64_t>> (*)(const json::object& choice,
                                                               std::size_t tokens);
expected<completed> openai_turn(const json::value& answer, labels_reader labels,
                                const generate_request& request, int vocabulary);

/// The label that a server says of its weights, as "weight_version" of `what`. Errors: invalid.
expected<std::string> weight_version_in(const json::value& answer, std::string_view what);

/// The number in a label that we gave; 0: it is none of ours.
std::uint64_t label_of(std::string_view text);
/// Labels of each token, from `[{"version": "7", "start": 0, "end": 3}, ...]` as vLLM and SGLang have it. Errors: invalid, where the spans
/// do not cover `tokens` one after the other.
expected<std::vector<std::uint64_t>> labels_of_spans(const json::array& spans, std::size_t tokens);

/// A seed for a server that knows one number per request: other draws for every rollout and every turn of it. At least 0.
std::int64_t seed_of_turn(const generate_request& request);

/// Errors: invalid, where a request asks for more than a temperature: other cuts and penalties mean something else from server to server.
expected<void> temperature_alone(const generate_request& request);

/// The likeliest logprobs, sorted, the best first.
expected<std::vector<double>> sorted_logprobs(const json::array& values);

} // namespace troupe::remote

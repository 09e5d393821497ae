#pragma once

#include "gpu/engine_core.hpp"
#include "runtime/base/http.hpp"
#include <optional>

/// What is said to a server that generates for us, and how its answers are read: completions by OpenAI's API with vLLM's token ids, and the
/// control routes of `troupe serve`. Pure: no I/O, no time. Another server's dialect is another file with these functions.
namespace troupe::remote {

struct question {
  std::string method, path;
  json::value body = nullptr; ///< null: none
  std::string text() const { return body.is_null() ? std::string() : json::dump(body); }
};

// -- what is served
struct served_model {
  std::string name;
  std::int64_t max_model_len = 0; ///< 0: it does not say
};
question ask_models();
expected<served_model> read_models(const json::value& answer);

// -- one turn
/// Draws are keyed as the CPU engine keys them where the server knows `seed_stream`, so that its tokens are that engine's.
question ask_completion(const generate_request& request, const std::string& model);
struct completed {
  std::vector<token> tokens;
  std::vector<float> logprobs;
  std::vector<std::uint64_t> labels; ///< which weights sampled each token, by the server's number of them
  std::optional<finish_reason>
      reason; ///< none: the server ended it for reasons of its own (a pause): ask again
  int prompt_tokens = 0, cached_tokens = 0;
};
/// Errors: invalid, naming what was found and what was expected, where token ids, logprobs or weight versions are missing or do not fit
/// together or to the request.
expected<completed> read_completion(const json::value& answer, const generate_request& request,
                                    int vocabulary);

// -- weights
question ask_weight_label();
expected<std::uint64_t> read_weight_label(const json::value& answer);
question ask_pause(); ///< what runs is frozen, and goes on after `ask_resume`
question ask_resume();
/// `label` is greater than the server's number of its weights. `recompute`: cached keys and values of the old ones are not used again.
question ask_update(const std::string& folder, std::uint64_t label, bool recompute);

/// A status that may be another one later: the server is busy, starting, or out of order.
bool may_pass(int status);
/// "401 Unauthorized: the key is wrong"
std::string status_text(const http::response& answer);

} // namespace troupe::remote

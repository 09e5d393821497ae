#pragma once

#include "actors/serving/api_error.hpp"
#include "gpu/chat/tool_calls.hpp"
#include "gpu/files/language_model.hpp"
#include "gpu/text/generation_text.hpp"

namespace troupe::serving {

/// What a request is checked against. Immutable.
struct api_rules {
  std::vector<std::string> served_names; ///< the first one is what answers say
  int max_model_len = 0;                 ///< tokens: prompt and what is generated
  std::int64_t max_kv_tokens = 0;        ///< what the engine can hold
  int max_choices = 128;                 ///< prompts x n of one request
  int max_logprobs = 20;
  tool_family tools = tool_family::none;
};

/// A request to /v1/completions or /v1/chat/completions that has been checked: what the engine is asked for, and how the answer is
/// written.
struct api_request {
  bool chat = false;
  std::string id, model; ///< "chatcmpl-..", the name by which it was asked for
  std::vector<std::vector<token>> prompts;
  std::vector<std::string> prompt_texts; ///< where they are echoed
  int n = 1;                             ///< choices for each prompt
  generate_request ask;                  ///< everything but sequence, group and context
  text_limits text;
  bool any_seed = true;    ///< no seed was asked for
  bool own_stream = false; ///< draws are those of the seed as it is, in the stream that was asked for
  std::string cache_salt;

  // -- how the answer is written
  bool stream = false, usage = false, usage_always = false;
  bool logprobs = false, echo = false,
       drop_tokens = false; ///< drop_tokens: max_tokens was 0, the prompt alone is wanted
  int top = 0;              ///< likeliest tokens beside each
  bool prompt_logprobs = false;
  bool token_ids = false, names_as_ids = false;
  tool_family tools = tool_family::none; ///< none: calls are not looked for
  json::array given_tools;
};

/// The family by which a model's calls of tools are read: by its template; none where that does not write the tools it is given.
tool_family tools_of(const language_model& model);

/// Every known field is checked for its type and range; fields that would change what is generated and that are not known are
/// refused by name; others are ignored, as clients send many. `now`: seconds since 1970, for templates.
api_expected<api_request> parse_completion(const json::value& body, const language_model& model,
                                           const api_rules& rules);
api_expected<api_request> parse_chat(const json::value& body, const language_model& model,
                                     const api_rules& rules, std::int64_t now);

/// POST /tokenize takes "prompt", or "messages" as a chat request has them. POST /detokenize takes "tokens".
api_expected<json::object> tokenize(const json::value& body, const language_model& model,
                                    const api_rules& rules, std::int64_t now);
api_expected<json::object> detokenize(const json::value& body, const language_model& model,
                                      const api_rules& rules);

/// Errors: 404 where this is not what is served.
api_expected<std::string> served_name(const json::object& body, const api_rules& rules);

} // namespace troupe::serving

#pragma once

#include "actors/serving/api_request.hpp"

namespace troupe::serving {

/// One choice of an answer while it is generated: tokens in, text and calls of tools out.
///   CHO-1  What it holds does not depend on how its tokens arrived: one by one, all at its end, or by several lives of an engine.
class choice {
public:
  choice(const language_model& model, const api_request& request, int prompt, int index);

  /// The next token. Nothing is taken after the end.
  void take(token id, float logprob, std::uint64_t version, std::vector<ranked_token> top);
  /// The engine ended it: "stop", "length", "abort".
  void end(std::string reason);

  bool done() const { return !finish_reason.empty(); }
  /// Tokens that may still be generated.
  int left() const {
    return request_->drop_tokens && !tokens.empty()
               ? 0
               : request_->ask.max_new_tokens - static_cast<int>(tokens.size());
  }

  int prompt, index;
  std::vector<token> tokens;
  std::vector<float> logprobs;
  std::vector<std::uint64_t> versions;
  std::vector<std::vector<ranked_token>> top;
  std::string text; ///< without calls of tools
  std::vector<called_tool> calls;
  std::string finish_reason; ///< empty: it goes on
  json::value stop_reason;   ///< the stop string, or the id of a token of stop_token_ids
  std::vector<float> prompt_logprobs;
  std::vector<std::vector<ranked_token>> prompt_top;
  int cached_tokens = 0;

  // -- how much of it is in the chunks of a stream
  std::size_t told_tokens = 0, told_text = 0, told_calls = 0, told_characters = 0;
  bool begun = false, ended = false;

private:
  void add(const tool_call_reader::found& more);
  const api_request* request_;
  const language_model* model_;
  generation_text words_;
  tool_call_reader tools_;
};

} // namespace troupe::serving

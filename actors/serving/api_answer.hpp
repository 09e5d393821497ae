#pragma once

#include "actors/serving/choice.hpp"

namespace troupe::serving {

/// Writes answers in the form of OpenAI's API as vLLM has it. Logprobs are those of the distribution that was sampled from.
class answer_writer {
public:
  answer_writer(const language_model& model, const api_request& request, std::int64_t created)
      : model_(model), request_(request), created_(created) {}

  /// The whole answer.
  json::object whole(const std::vector<choice>& choices) const;
  /// What a stream says of a choice now: what is new in it, which then counts as told. Null: nothing.
  std::optional<json::object> chunk(choice& of, const std::vector<choice>& all) const;
  /// The last chunk of a stream whose client asked for it.
  json::object usage_chunk(const std::vector<choice>& choices) const;
  json::object usage(const std::vector<choice>& choices) const;

private:
  json::object head(std::string_view object) const;
  json::value logprobs(const choice& of, std::size_t from, std::size_t offset) const;
  json::object chat_entry(token id, float logprob) const;
  json::value prompt_logprobs(const choice& of) const;
  json::array calls(const choice& of, std::size_t from, bool numbered) const;
  std::string token_name(token id) const;
  const language_model& model_;
  const api_request& request_;
  std::int64_t created_;
};

} // namespace troupe::serving

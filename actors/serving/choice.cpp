#include "actors/serving/choice.hpp"

#include <algorithm>

namespace troupe::serving {

choice::choice(const language_model& model, const api_request& request, int of_prompt, int at)
    : prompt(of_prompt),
      index(at),
      request_(&request),
      model_(&model),
      words_(*model.words, request.text),
      tools_(request.tools) {}

void choice::add(const tool_call_reader::found& more) {
  text += more.text;
  calls.insert(calls.end(), more.calls.begin(), more.calls.end());
}

void choice::take(token id, float logprob, std::uint64_t version, std::vector<ranked_token> likeliest) {
  if (done()) return;
  tokens.push_back(id);
  logprobs.push_back(logprob);
  versions.push_back(version);
  if (request_->top > 0) top.push_back(std::move(likeliest));
  const auto& stops = request_->ask.stop;
  const bool ends = static_cast<int>(tokens.size()) >= request_->ask.min_new_tokens &&
                    std::find(stops.begin(), stops.end(), id) != stops.end();
  if (ends) { // its own name is no part of the text
    if (request_->text.include_stop) add(tools_.push(words_.push(id)));
    if (std::find(model_->ends.begin(), model_->ends.end(), id) == model_->ends.end()) stop_reason = id;
    return end("stop");
  }
  add(tools_.push(words_.push(id)));
  if (words_.stopped_by()) {
    stop_reason = *words_.stopped_by();
    end("stop");
  } else if (left() <= 0) {
    end("length");
  }
}

void choice::end(std::string reason) {
  if (done()) return;
  add(tools_.push(words_.finish()));
  add(tools_.finish());
  finish_reason = reason == "stop" && !calls.empty() ? "tool_calls" : std::move(reason);
}

} // namespace troupe::serving

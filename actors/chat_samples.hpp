#pragma once

#include "actors/chat_data.hpp"
#include "gpu/files/language_model.hpp"
#include "gpu/learner.hpp"

namespace troupe {

/// A chat as tokens to learn from, written by the model's own template.
///   SFT-1  What is learned of an assistant's turn is what the model has to generate: all that the template writes behind its prompt for
///          the turn, up to and with the token that ends it. Nothing else has a weight.
///   SFT-2  A turn is learned behind exactly the text that would be its prompt. Where a template writes earlier turns differently later on
///          (it drops their thoughts), the chat becomes several samples; else it is one.
/// A template that knows no tools has them in the system's message and calls as `<tool_call>{..}</tool_call>` in the text, as in
/// episodes (actors/model_chat.hpp). `ends`: the tokens that end a turn. Errors: invalid, naming the chat's place.
expected<std::vector<sft_sample>> chat_samples(const language_model& model, const std::vector<token>& ends,
                                               const chat_example& chat);

} // namespace troupe

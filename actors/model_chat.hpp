#pragma once

#include "gpu/files/language_model.hpp"
#include "gpu/learner.hpp"
#include "gym/chat_format.hpp"
#include "gym/world.hpp"
#include "tools/tool.hpp"

namespace troupe {

/// The format of a model that comes with a chat template: what its template writes around a question and around tools' results, as
/// pieces, found by rendering conversations whose contents are marks. Contents stay plain text, so that no question and no document
/// can forge a role; everything else is tokenised as the template's own text is.
///   CHAT-1  A turn's continuation is a suffix of what the template writes for the whole conversation: nothing before it is
///           written again, so that the policy sees the tokens that it sampled.
class model_chat final : public chat_format {
public:
  /// `system` empty: a text of its own, which describes the tools if the template does not. Errors: invalid (a model without a
  /// template, a template that does not show a question, or after which no turn ends).
  static expected<std::shared_ptr<const model_chat>> make(const language_model& model, const tool_set& tools,
                                                          const std::string& system);

  std::vector<text_piece> opening(const std::string& question) const override;
  std::vector<text_piece> results(const std::vector<observation>& results, int max_chars) const override;

  /// After these tokens a turn is over: the template's own, and those that the model's files name.
  const std::vector<token>& ends() const { return ends_; }
  /// The tokens of a demonstration in the own format (gym/world.hpp), written in this one: for the warm-up.
  sft_sample sample(const demonstration& demo, double other_weight) const;

private:
  std::shared_ptr<const tokenizer> words_;
  std::vector<text_piece> before_question_, after_question_, before_results_, after_results_;
  std::vector<token> ends_;
};

/// What a model is told of tools whose template has no words for them; each is {"name", "description"?, "parameters"?}.
std::string tool_instructions(const json::array& functions);

/// The text of a template as pieces: names of added tokens are special, all else is plain.
std::vector<text_piece> template_pieces(const tokenizer& words, std::string_view text);

} // namespace troupe

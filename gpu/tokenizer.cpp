#include "gpu/tokenizer.hpp"
#include "gpu/bpe.hpp"

#include <algorithm>
#include <cassert>

namespace troupe {

expected<tokenizer> tokenizer::train(const std::vector<std::string>& texts, int vocab_size,
                                     const std::vector<std::string>& specials) {
  const auto fixed = static_cast<int>(specials.size()) + 256;
  if (vocab_size < fixed)
    return fail(errc::invalid, "a vocabulary of " + std::to_string(vocab_size) +
                                   " tokens was asked for, expected at least " + std::to_string(fixed) +
                                   " (256 bytes and " + std::to_string(specials.size()) + " specials)");
  auto made = std::make_shared<tables>();
  for (auto& name : specials) {
    if (name.size() < 3)
      return fail(errc::invalid,
                  "special token \"" + name + "\" is too short, expected at least 3 characters");
    const auto id = static_cast<token>(made->bytes.size());
    if (!made->names.emplace(name, id).second)
      return fail(errc::invalid, "special token \"" + name + "\" is given twice");
    made->added.push_back({.id = id, .content = name, .normalized = false, .special = true});
    made->bytes.push_back(name);
  }
  made->special_ids.assign(specials.size(), true);
  const auto first_byte = static_cast<token>(specials.size());
  for (int byte = 0; byte < 256; ++byte) {
    made->byte_ids[byte] = first_byte + byte;
    made->bytes.emplace_back(1, static_cast<char>(byte));
  }
  made->merges = train_merges(texts, first_byte, fixed, vocab_size - fixed, specials);
  for (auto& rule : made->merges) made->bytes.push_back(made->bytes[rule.left] + made->bytes[rule.right]);
  made->special_ids.resize(made->bytes.size());
  made->added_ids = made->special_ids;
  made->parts = own_parts();
  made->make_indices();
  return tokenizer(std::move(made));
}

int tokenizer::vocab_size() const { return static_cast<int>(tables_->bytes.size()); }

expected<token> tokenizer::special(std::string_view name) const {
  const auto found = tables_->names.find(name);
  if (found == tables_->names.end())
    return fail(errc::not_found, "no added token \"" + std::string(name) + "\"");
  return found->second;
}

bool tokenizer::is_special(token id) const {
  return id >= 0 && id < vocab_size() && tables_->special_ids[id];
}

std::vector<token> tokenizer::encode(std::string_view text, text_rules rules) const {
  std::vector<token> out;
  out.reserve(text.size() / 3 + 1);
  tables_->encode(text, rules, out);
  return out;
}

std::vector<token> tokenizer::encode(const std::vector<text_piece>& pieces) const {
  std::vector<token> out;
  for (auto& piece : pieces) {
    if (!piece.special) {
      tables_->encode(piece.text, {}, out);
      continue;
    }
    const auto found = tables_->names.find(piece.text);
    assert(found != tables_->names.end() && "a piece names a special token that the tokenizer does not have");
    if (found != tables_->names.end()) out.push_back(found->second);
  }
  return out;
}

std::string tokenizer::decode(const std::vector<token>& tokens, bool skip_special) const {
  std::string out;
  for (token id : tokens)
    if (id >= 0 && id < vocab_size() && !(skip_special && tables_->special_ids[id]))
      out += tables_->bytes[id];
  return out;
}

} // namespace troupe

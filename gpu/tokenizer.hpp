#pragma once

#include "runtime/base/error.hpp"
#include "runtime/base/text_piece.hpp"
#include <boost/json/fwd.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

using token = std::int32_t;

/// What is read out of a text besides plain words.
struct text_rules {
  bool read_added = false;   ///< names of added tokens in the text become these tokens
  bool add_template = false; ///< the tokens that the file's post-processor puts around a text (a BOS)
};

/// Byte-level byte-pair encoding (Sennrich et al. 2016; GPT-2's bytes): a tokenizer of its own training, or any byte-level
/// tokenizer.json (GPT-2, Llama 3, Qwen 2 to 3, SmolLM2, Mistral's tekken, DeepSeek), with the ids that Hugging Face's
/// tokenizers gives. Its own is pre-split into an optional leading space + letters, single digits, an optional leading space
/// + other symbols, and spaces.
///
/// Every byte string round-trips exactly, but for what the file itself loses: its normalizer changes text, a vocabulary may lack
/// bytes, stripping added tokens take white space along. Immutable and thread-safe after construction.
class tokenizer {
public:
  /// Specials get the first ids, in order, then the 256 bytes, then the merges. A special name has at least 3
  /// bytes. Trains on texts until `vocab_size` tokens (specials and 256 bytes included) or no pair occurs
  /// twice. Deterministic. Errors: invalid when vocab_size < 256 + specials.
  static expected<tokenizer> train(const std::vector<std::string>& texts, int vocab_size,
                                   const std::vector<std::string>& specials);
  /// Reads and writes Hugging Face's tokenizer.json. Errors: not_found, corrupt, invalid (what is not byte-level BPE, or
  /// has a part that is not known: never a tokenizer that means something else).
  static expected<tokenizer> load(const std::filesystem::path& file);
  static expected<tokenizer> from_json(const boost::json::object& root, const std::string& name);
  expected<void> save(const std::filesystem::path& file) const;

  int vocab_size() const; ///< one more than the largest id
  /// The id of an added token by its name. Errors: not_found.
  expected<token> special(std::string_view name) const;
  bool is_special(token id) const;

  /// By default no token is read out of a name in the text: no document and no user can forge a role. With both rules it is
  /// what `encode` of Hugging Face's tokenizers gives. Bytes that are not UTF-8 are encoded as bytes.
  std::vector<token> encode(std::string_view text, text_rules rules = {}) const;
  std::vector<token>
  encode(const std::vector<text_piece>& pieces) const; ///< asserts that the special names are known
  /// The exact bytes of the tokens; an added token gives its name, a special one nothing where it is to be skipped. May be
  /// invalid UTF-8. Unknown ids give nothing.
  std::string decode(const std::vector<token>& tokens, bool skip_special = false) const;

private:
  struct tables;
  explicit tokenizer(std::shared_ptr<const tables> t) : tables_(std::move(t)) {}
  std::shared_ptr<const tables> tables_;
};

} // namespace troupe

#pragma once

#include "runtime/base/error.hpp"
#include "runtime/base/text_piece.hpp"
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

using token = std::int32_t;

/// Byte-level byte-pair encoding (Sennrich et al. 2016; GPT-2's bytes), pre-split into an optional leading
/// space + letters, single digits, an optional leading space + other symbols, and spaces. Every byte string
/// round-trips exactly. Immutable and thread-safe after construction.
class tokenizer {
public:
  /// Specials get the first ids, in order, then the 256 bytes, then the merges. A special name has at least 3
  /// bytes. Trains on texts until `vocab_size` tokens (specials and 256 bytes included) or no pair occurs
  /// twice. Deterministic. Errors: invalid when vocab_size < 256 + specials.
  static expected<tokenizer> train(const std::vector<std::string>& texts, int vocab_size,
                                   const std::vector<std::string>& specials);
  /// Reads and writes Hugging Face's tokenizer.json. Errors: not_found, corrupt, invalid.
  static expected<tokenizer> load(const std::filesystem::path& file);
  expected<void> save(const std::filesystem::path& file) const;

  int vocab_size() const;
  /// The id of a special token by its name. Errors: not_found.
  expected<token> special(std::string_view name) const;
  bool is_special(token id) const;

  std::vector<token> encode(std::string_view text) const;
  std::vector<token>
  encode(const std::vector<text_piece>& pieces) const; ///< asserts that the special names are known
  /// The exact bytes of the tokens; a special token gives its name. May be invalid UTF-8. Unknown ids give
  /// nothing.
  std::string decode(const std::vector<token>& tokens) const;

private:
  struct tables;
  explicit tokenizer(std::shared_ptr<const tables> t) : tables_(std::move(t)) {}
  std::shared_ptr<const tables> tables_;
};

} // namespace troupe

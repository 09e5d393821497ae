#pragma once

#include "runtime/base/error.hpp"
#include <string>
#include <string_view>

namespace troupe {

/// GPT-2's printable names of the 256 bytes, as Hugging Face's tokenizer.json writes them: printable Latin-1
/// characters stand for themselves, the others for U+0100 onwards, in order.
std::string bytes_to_symbols(std::string_view bytes);

/// The inverse. Errors: corrupt, for a character that is no byte's name.
expected<std::string> symbols_to_bytes(std::string_view symbols);

} // namespace troupe

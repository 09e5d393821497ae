#pragma once

#include "runtime/base/json.hpp"
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// How a family of models writes calls of tools into its text.
///   hermes   <tool_call>{"name": .., "arguments": {..}}</tool_call>, any number (Hermes, Qwen, Troupe's own policies)
///   llama3   the whole text is {"name": .., "parameters": {..}}, several are separated by ; (Llama 3.1 to 3.3)
///   mistral  [TOOL_CALLS][{"name": .., "arguments": {..}}, ..], or [TOOL_CALLS]name[ARGS]{..} for each call
enum class tool_family : unsigned char { none, hermes, llama3, mistral };

/// Told by what the template writes; none: it does not know tools.
tool_family tool_family_of(std::string_view template_source);
/// By its name on the command line: none, hermes, llama3_json, mistral.
std::optional<tool_family> tool_family_by_name(std::string_view name);
std::string_view name_of(tool_family family); ///< the inverse
/// Special tokens whose names have to stay in the text, for the calls to be found.
const std::vector<std::string>& tool_markers(tool_family family);

struct called_tool {
  std::string name;
  std::string arguments; ///< JSON: an object
  bool operator==(const called_tool&) const = default;
};

/// Takes the calls out of a text that arrives in pieces. What is not a call, or not a whole one, stays text, as it was written; white
/// space around calls is dropped.
///   TOOL-1  Text and calls do not depend on how the text was cut into pieces.
class tool_call_reader {
public:
  struct found {
    std::string text;
    std::vector<called_tool> calls;
  };
  explicit tool_call_reader(tool_family family) : family_(family) {}
  /// What has become certain with this piece.
  found push(std::string_view piece);
  /// The rest, when no more comes.
  found finish();

private:
  void read_hermes(found& out, bool last);
  void say(found& out, std::string_view text);
  tool_family family_;
  std::string held_;
  std::string spaces_; ///< white space that is shown only if text follows
  bool inside_ = false, decided_ = false, called_ = false;
};

} // namespace troupe

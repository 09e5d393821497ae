#pragma once

#include "gym/task.hpp"
#include "runtime/base/text_piece.hpp"
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

struct episode_limits {
  int max_turns = 5;               ///< assistant turns
  int max_calls_per_turn = 4;      ///< tool calls in one turn
  int max_observation_chars = 400; ///< bytes of UTF-8, of all results of one turn together
};

/// A tool call that the policy wrote.
struct tool_call {
  std::string tool;
  json::object arguments;
};

/// What a tool answered, or why not: a failure's text is an observation too.
struct observation {
  std::string text;
  bool failed = false;
};

/// Every malformed shape, counted by kind in metrics.
enum class format_error : std::uint8_t {
  none,
  cut_off,        ///< the turn reached its token limit before its end token
  unclosed_call,  ///< <tool_call> without </tool_call>
  not_json,       ///< the call's body is not one JSON object
  bad_call_shape, ///< not exactly {"name": string, "arguments": object}
  unknown_tool,
  bad_arguments, ///< against the tool's schema
  too_many_calls,
  unclosed_answer, ///< <answer> without </answer>
  empty_answer,
  call_and_answer, ///< both in one turn
  stray_text,      ///< text outside of calls and answer
  nothing,         ///< neither a call nor an answer
  not_utf8,
};
std::string_view to_string(format_error kind);
constexpr int format_error_kinds = 14;

/// One assistant turn, read strictly: nothing is repaired that the policy did not write.
struct parsed_turn {
  std::vector<tool_call> calls;
  std::optional<std::string> answer;
  format_error error = format_error::none;
  std::string detail; ///< for people, when there is an error
};

/// A tool as the parser needs to know it: its name and the JSON Schema of its arguments (the subset that
/// tools use: type, properties, required, items, minItems, maxItems, minLength, maxLength, minimum, maximum,
/// additionalProperties).
struct call_schema {
  std::string name;
  json::object parameters;
};

/// Reads one turn: either calls or one answer, with nothing around them, not even a space. `ended` is false
/// when the turn was cut off by its token limit.
///   PARSE-1  Never throws, on whatever bytes.
///   PARSE-2  An error leaves no calls and no answer; else there are 1 to max_calls calls, or one answer.
///   PARSE-3  A special token's name inside a call or an answer is an error, not text.
parsed_turn parse_turn(std::string_view text, bool ended, const std::vector<call_schema>& tools,
                       int max_calls);

enum class episode_end : std::uint8_t { running, answered, format_error, out_of_turns, out_of_context };
std::string_view to_string(episode_end end);

class chat_format; // gym/chat_format.hpp

/// One attempt at a task, as a state machine over text: no tokens, no threads, no clock. Gymnasium's words:
/// `terminated` when the task itself ended (an answer, or a malformed turn), `truncated` when a limit cut it
/// off (turns, context).
///
///   opening() -> [ turn(text) -> observe(results) ]* -> done()
///
/// Copying it copies the attempt: a rollout is replayed from its committed turns by calling the same methods
/// again.
class episode {
public:
  /// `format` null: the own one.
  episode(task what, episode_limits limits, std::vector<call_schema> tools,
          std::shared_ptr<const chat_format> format = nullptr);
  /// Task and tools are shared: an attempt that waits costs no copy of them.
  episode(std::shared_ptr<const task> what, episode_limits limits,
          std::shared_ptr<const std::vector<call_schema>> tools,
          std::shared_ptr<const chat_format> format = nullptr)
      : task_(std::move(what)), limits_(limits), tools_(std::move(tools)), format_(std::move(format)) {}

  /// The prompt: the same pieces for every attempt at the task. Ends with the assistant's role token.
  std::vector<text_piece> opening() const;
  /// Takes one sampled turn (without its end token). Precondition: !done() and no observation is awaited.
  const parsed_turn& turn(std::string_view text, bool ended);
  /// Takes one result per call of the last turn, in order; gives what the context is extended by (it begins
  /// with the end token only if the turn was cut off; ends with the assistant's role token).
  std::vector<text_piece> observe(const std::vector<observation>& results);
  /// The context has no room for another turn.
  void context_full();

  bool done() const { return end_ != episode_end::running; }
  bool terminated() const { return end_ == episode_end::answered || end_ == episode_end::format_error; }
  bool truncated() const { return end_ == episode_end::out_of_turns || end_ == episode_end::out_of_context; }
  episode_end end() const { return end_; }
  /// The last turn called tools, and observe() must come next.
  bool awaits_results() const { return awaits_results_; }
  int turns() const { return turns_; }
  int calls() const { return calls_; } ///< calls that were let through to the tools
  const std::optional<std::string>& answer() const { return last_.answer; }
  format_error error() const { return last_.error; }
  const task& what() const { return *task_; }
  /// The last turn's calls.
  const std::vector<tool_call>& asked() const { return last_.calls; }

private:
  std::shared_ptr<const task> task_;
  episode_limits limits_;
  std::shared_ptr<const std::vector<call_schema>> tools_;
  std::shared_ptr<const chat_format> format_;
  parsed_turn last_;
  episode_end end_ = episode_end::running;
  bool awaits_results_ = false;
  int turns_ = 0, calls_ = 0;
};

/// The special tokens of the chat format, in the order of their ids. The last is padding.
///   <|user|>Q<|end|><|assistant|><tool_call>{...}</tool_call><|end|><|tool|>obs<|end|><|assistant|><answer>A</answer><|end|>
const std::vector<std::string>& special_tokens();
inline constexpr std::string_view end_token = "<|end|>";

} // namespace troupe

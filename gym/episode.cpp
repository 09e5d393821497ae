#include "gym/episode.hpp"

#include "gym/chat.hpp"
#include "gym/chat_format.hpp"
#include <cassert>

namespace troupe {

std::string_view to_string(episode_end end) {
  switch (end) {
  case episode_end::running: return "running";
  case episode_end::answered: return "answered";
  case episode_end::format_error: return "format_error";
  case episode_end::out_of_turns: return "out_of_turns";
  case episode_end::out_of_context: return "out_of_context";
  }
  return "running";
}

episode::episode(task what, episode_limits limits, std::vector<call_schema> tools,
                 std::shared_ptr<const chat_format> format)
    : episode(std::make_shared<const task>(std::move(what)), limits,
              std::make_shared<const std::vector<call_schema>>(std::move(tools)), std::move(format)) {}

std::vector<text_piece> episode::opening() const {
  if (format_) return format_->opening(task_->question);
  auto pieces = user_pieces(task_->question);
  pieces.push_back(assistant_role());
  return pieces;
}

const parsed_turn& episode::turn(std::string_view text, bool ended) {
  assert(!done() && !awaits_results_ && "a turn out of order");
  last_ = (format_ ? parse_free_turn : parse_turn)(text, ended, *tools_, limits_.max_calls_per_turn);
  ++turns_;
  if (last_.error != format_error::none)
    end_ = episode_end::format_error;
  else if (last_.answer)
    end_ = episode_end::answered;
  else if (turns_ >= limits_.max_turns)
    end_ = episode_end::out_of_turns;
  else {
    awaits_results_ = true;
    calls_ += static_cast<int>(last_.calls.size());
  }
  return last_;
}

std::vector<text_piece> episode::observe(const std::vector<observation>& results) {
  assert(awaits_results_ && results.size() == last_.calls.size() && "one result per call of the last turn");
  awaits_results_ = false;
  if (format_) return format_->results(results, limits_.max_observation_chars);
  auto pieces = tool_pieces(results, limits_.max_observation_chars);
  pieces.push_back(assistant_role());
  return pieces;
}

void episode::context_full() {
  if (done()) return;
  awaits_results_ = false;
  end_ = episode_end::out_of_context;
}

} // namespace troupe

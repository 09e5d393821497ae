#include "cli/transcript_view.hpp"

#include "cli/report_values.hpp"
#include "cli/terminal_text.hpp"
#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

using namespace values;

constexpr const char *bold = "\x1b[1m", *dim = "\x1b[2m", *green = "\x1b[32m", *red = "\x1b[31m",
                     *blue = "\x1b[34m", *magenta = "\x1b[35m", *cyan = "\x1b[36m", *plain = "\x1b[0m";

class page {
public:
  explicit page(const transcript_style& style) : style_(style) {}
  /// A line of a short head and text that is wrapped below itself.
  void entry(const char* color, const std::string& head, const std::string& body) {
    const std::size_t indent = display_width(head) + 1;
    const auto columns = std::max<std::size_t>(20, static_cast<std::size_t>(std::max(0, style_.width)));
    bool first = true;
    for (const auto& line : wrapped(printable(body, true), columns > indent + 10 ? columns - indent : 10)) {
      out_ += first ? painted(color, head) + " " : std::string(indent, ' ');
      out_ += line + "\n";
      first = false;
    }
  }
  void note(const std::string& text) {
    if (!text.empty()) out_ += std::string(10, ' ') + painted(dim, printable(text)) + "\n";
  }
  std::string painted(const char* color, const std::string& text) const {
    return style_.color ? color + text + plain : text;
  }
  void add(const std::string& text) { out_ += text; }
  std::string take() { return std::move(out_); }

private:
  transcript_style style_;
  std::string out_;
};

std::string facts_of(const json::object& turn) {
  std::string out;
  const auto say = [&](const std::string& what) { (out += out.empty() ? "" : " · ") += what; };
  if (const double tokens = number(turn, "tokens"); std::isfinite(tokens))
    say(grouped(tokens) + (tokens == 1 ? " token" : " tokens"));
  if (const auto versions = interval(turn, "versions"))
    say((*versions)[0] == (*versions)[1]
            ? "version " + grouped((*versions)[0])
            : "versions " + grouped((*versions)[0]) + " to " + grouped((*versions)[1]));
  if (const double logprob = number(turn, "mean_logprob"); std::isfinite(logprob))
    say("mean logprob " + fixed(logprob, 3));
  return out;
}

} // namespace

std::string render_transcript(const json::object& transcript, const transcript_style& style) {
  page out(style);
  const auto* correct = transcript.if_contains("correct");
  const bool right = correct && correct->is_bool() && correct->as_bool();
  out.entry(bold, "question ", text(transcript, "question"));
  if (const auto* answers = list(transcript, "answers")) {
    std::string all;
    for (const auto& it : *answers)
      if (const auto* answer = it.if_string()) (all += all.empty() ? "" : " | ") += *answer;
    out.entry(bold, "expected ", all);
  }
  if (const auto* turns = list(transcript, "turns"))
    for (const auto& it : *turns) {
      const auto* turn = it.if_object();
      if (!turn) continue;
      const auto role = text(*turn, "role");
      const char* color = role == "assistant" ? cyan : role == "tool" ? magenta : blue;
      out.entry(color, pad_right(clipped(printable(role), 9), 9), text(*turn, "text"));
      if (role == "assistant") out.note(facts_of(*turn));
    }
  std::string end = text(transcript, "end");
  std::replace(end.begin(), end.end(), '_', ' ');
  if (correct && correct->is_bool()) end = (right ? "right" : "wrong") + (end.empty() ? "" : ", " + end);
  if (const double reward = number(transcript, "reward"); std::isfinite(reward))
    end += ", reward " + fixed(reward, 3);
  if (const auto* parts = object(transcript, "parts")) {
    std::string all;
    for (const auto& part : *parts)
      if (part.value().is_number())
        all += (all.empty() ? " (" : ", ") + std::string(part.key()) + " " +
               fixed(part.value().to_number<double>(), 3);
    end += all.empty() ? "" : all + ")";
  }
  out.entry(right ? green : red, right ? "✓        " : "✗        ", end);
  if (const auto id = text(transcript, "id"); !id.empty()) {
    const auto of = text(transcript, "task");
    out.note("rollout " + id + (of.empty() ? "" : " of task " + of));
  }
  return out.take();
}

} // namespace troupe

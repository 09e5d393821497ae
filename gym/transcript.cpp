#include "gym/transcript.hpp"

#include <cmath>
#include <cstdio>

namespace troupe {

namespace {

json::value number_or_null(std::optional<double> x) {
  return x && std::isfinite(*x) ? json::value(*x) : json::value(nullptr);
}

json::object to_json(const transcript_turn& turn) {
  json::object out{{"role", to_string(turn.role)}, {"text", turn.text}, {"tokens", turn.tokens}};
  if (turn.role != speaker::assistant) return out;
  out["versions"] = turn.versions ? json::value(json::array{(*turn.versions)[0], (*turn.versions)[1]})
                                  : json::value(nullptr);
  out["mean_logprob"] = number_or_null(turn.mean_logprob);
  return out;
}

std::string short_number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", x);
  return text;
}

void indented(std::string& out, std::string_view text) {
  out += "  ";
  for (char c : text) {
    out += c;
    if (c == '\n') out += "  ";
  }
  out += '\n';
}

} // namespace

std::string_view to_string(speaker role) {
  switch (role) {
  case speaker::user: return "user";
  case speaker::assistant: return "assistant";
  case speaker::tool: return "tool";
  }
  return "user";
}

json::object to_json(const transcript& what) {
  json::object out{{"id", what.id}, {"task", what.what.id}, {"question", what.what.question}};
  out["answers"] = json::array(what.what.answers.begin(), what.what.answers.end());
  out["correct"] = what.judged ? json::value(what.judged->correct) : json::value(nullptr);
  out["reward"] = what.judged ? number_or_null(what.judged->reward) : json::value(nullptr);
  json::object parts;
  if (what.judged)
    for (const auto& [name, value] : what.judged->parts) parts[name] = value;
  out["parts"] = what.judged ? json::value(std::move(parts)) : json::value(nullptr);
  out["end"] = to_string(what.end);
  json::array turns;
  for (const auto& turn : what.turns) turns.push_back(to_json(turn));
  out["turns"] = std::move(turns);
  return out;
}

std::string to_text(const transcript& what) {
  std::string out = "rollout " + what.id + ", task " + what.what.id + '\n';
  for (const auto& turn : what.turns) {
    (out += to_string(turn.role)) += "  " + std::to_string(turn.tokens) + " tokens";
    if (turn.versions) {
      const auto [low, high] = *turn.versions;
      out += low == high ? ", version " + std::to_string(low)
                         : ", versions " + std::to_string(low) + "-" + std::to_string(high);
    }
    if (turn.mean_logprob) out += ", mean logprob " + short_number(*turn.mean_logprob);
    out += '\n';
    indented(out, turn.text);
  }
  (out += "end: ") += to_string(what.end);
  if (what.judged) {
    out += what.judged->correct ? ", correct" : ", not correct";
    out += ", reward " + short_number(what.judged->reward) + " (";
    bool first = true;
    for (const auto& [name, value] : what.judged->parts) {
      out += (first ? "" : ", ") + name + " " + short_number(value);
      first = false;
    }
    out += ')';
  } else {
    out += ", not judged";
  }
  out += "; accepted:";
  for (const auto& answer : what.what.answers) out += " \"" + answer + '"';
  return out + '\n';
}

} // namespace troupe

#include "gym/chat.hpp"

namespace troupe {

const std::vector<std::string>& special_tokens() {
  static const std::vector<std::string> names{"<|user|>", "<|assistant|>", "<|tool|>",
                                              "<|end|>",  "<tool_call>",   "</tool_call>",
                                              "<answer>", "</answer>",     "<|pad|>"};
  return names;
}

std::vector<text_piece> user_pieces(const std::string& question) {
  return {{true, "<|user|>"}, {false, question}, {true, std::string(end_token)}};
}

std::string results_text(const std::vector<observation>& results, int max_chars) {
  std::string text;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (i) text += '\n';
    if (results[i].failed) text += "Error: ";
    text += results[i].text;
  }
  const std::size_t limit = max_chars > 0 ? static_cast<std::size_t>(max_chars) : 0;
  return std::string(clip_utf8(text, limit));
}

std::vector<text_piece> tool_pieces(const std::vector<observation>& results, int max_chars) {
  return {{true, "<|tool|>"}, {false, results_text(results, max_chars)}, {true, std::string(end_token)}};
}

text_piece assistant_role() { return {true, "<|assistant|>"}; }

std::string_view clip_utf8(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  std::size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

bool valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t more = lead >= 0xC2 && lead <= 0xDF   ? 1
                             : (lead & 0xF0) == 0xE0        ? 2
                             : lead >= 0xF0 && lead <= 0xF4 ? 3
                                                            : 0;
    if (more == 0 || text.size() - i <= more) return false;
    for (std::size_t k = 1; k <= more; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) return false;
    const auto second = static_cast<unsigned char>(text[i + 1]);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F))
      return false;
    i += more + 1;
  }
  return true;
}

} // namespace troupe

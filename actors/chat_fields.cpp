#include "actors/chat_fields.hpp"

namespace troupe {

std::optional<std::string> content_text(const json::value* content) {
  if (!content || content->is_null()) return "";
  if (const auto* text = content->if_string()) return std::string(*text);
  const auto* parts = content->if_array();
  if (!parts) return std::nullopt;
  std::string out;
  for (const auto& part : *parts) {
    const auto* fields = part.if_object();
    if (!fields || json::string_at(*fields, "type").value_or("") != "text") return std::nullopt;
    const auto text = json::string_at(*fields, "text");
    if (!text) return std::nullopt;
    if (!out.empty()) out += '\n';
    out += *text;
  }
  return out;
}

expected<void> check_tools(const json::array& tools) {
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const auto* tool = tools[i].if_object();
    const auto function = tool ? json::object_at(*tool, "function") : tl::unexpected<error>(error{});
    if (!tool || json::string_at(*tool, "type").value_or("") != "function" || !function ||
        json::string_at(**function, "name").value_or("").empty())
      return fail(
          errc::invalid,
          "tools[" + std::to_string(i) +
              "]: expected {\"type\": \"function\", \"function\": {\"name\": .., \"parameters\": ..}}");
  }
  return {};
}

} // namespace troupe

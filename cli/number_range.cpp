#include "cli/number_range.hpp"

#include <charconv>
#include <string_view>

namespace troupe::cli {

expected<number_range> parse_range(const std::string& option, const std::string& text,
                                   const std::string& example) {
  auto wrong = [&](const std::string& why) {
    return fail(errc::invalid,
                option + " " + text + ": " + why + "; expected A..B with A <= B, for example " + example);
  };
  auto number = [](std::string_view from, std::uint64_t& to) {
    auto [at, code] = std::from_chars(from.data(), from.data() + from.size(), to);
    return code == std::errc() && at == from.data() + from.size() && !from.empty();
  };
  const auto dots = text.find("..");
  number_range out;
  if (!number(std::string_view(text).substr(0, dots), out.first))
    return wrong("found no whole number at its start");
  if (dots == text.npos) return number_range{out.first, out.first};
  if (!number(std::string_view(text).substr(dots + 2), out.last))
    return wrong("found no whole number behind ..");
  if (out.last < out.first) return wrong("the range is empty");
  return out;
}

} // namespace troupe::cli

#include "gpu/byte_symbols.hpp"

#include <array>
#include <cstdint>

namespace troupe {

namespace {

constexpr bool printable(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

constexpr auto code_points = [] {
  std::array<std::uint16_t, 256> out{};
  std::uint16_t next = 256;
  for (int byte = 0; byte < 256; ++byte)
    out[byte] = printable(byte) ? static_cast<std::uint16_t>(byte) : next++;
  return out;
}();

constexpr auto bytes_of_code_points = [] {
  std::array<std::int16_t, 324> out{}; // 256 + the 68 bytes that are not printable
  for (auto& byte : out) byte = -1;
  for (int byte = 0; byte < 256; ++byte) out[code_points[byte]] = static_cast<std::int16_t>(byte);
  return out;
}();

} // namespace

std::string bytes_to_symbols(std::string_view bytes) {
  std::string out;
  for (unsigned char byte : bytes) {
    const auto point = code_points[byte];
    if (point < 0x80) {
      out += static_cast<char>(point);
    } else {
      out += static_cast<char>(0xC0 | (point >> 6));
      out += static_cast<char>(0x80 | (point & 0x3F));
    }
  }
  return out;
}

expected<std::string> symbols_to_bytes(std::string_view symbols) {
  std::string out;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    unsigned point = static_cast<unsigned char>(symbols[i]);
    if (point >= 0xC0 && point < 0xE0 && i + 1 < symbols.size())
      point = ((point & 0x1F) << 6) | (static_cast<unsigned char>(symbols[++i]) & 0x3F);
    if (point >= bytes_of_code_points.size() || bytes_of_code_points[point] < 0)
      return fail(errc::corrupt,
                  "\"" + std::string(symbols) + "\" holds a character that is no byte's symbol");
    out += static_cast<char>(bytes_of_code_points[point]);
  }
  return out;
}

} // namespace troupe

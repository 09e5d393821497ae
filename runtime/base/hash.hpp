#pragma once

#include "runtime/base/error.hpp"
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace troupe {

/// SHA-256 as 64 lower-case hexadecimal digits (FIPS 180-4, by OpenSSL).
std::string sha256(std::string_view bytes);

/// SHA-256 of a file, read in pieces. Errors: not_found, io.
expected<std::string> sha256_file(const std::filesystem::path& path);

/// CRC-32C (Castagnoli, RFC 3720), for rows and records. Of two parts: crc32c(second, crc32c(first)).
/// Uses the processor's instruction where there is one.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);
/// The same by tables alone, on any processor.
std::uint32_t crc32c_portable(std::string_view bytes, std::uint32_t seed = 0);

} // namespace troupe

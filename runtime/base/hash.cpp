#include "runtime/base/hash.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <memory>
#include <openssl/evp.h>
#include <vector>

namespace troupe {

namespace {

struct digest {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
  digest() { EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr); }
  void add(const void* data, std::size_t size) { EVP_DigestUpdate(context.get(), data, size); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned int size = 0;
    EVP_DigestFinal_ex(context.get(), bytes.data(), &size);
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (unsigned int i = 0; i < size; ++i) (out += digits[bytes[i] >> 4]) += digits[bytes[i] & 15];
    return out;
  }
};

/// tables[k][b]: the checksum of byte b followed by k zero bytes (slicing-by-8, Kounavis and Berry 2005).
constexpr auto crc_tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) ? 0x82F63B78u ^ (c >> 1) : c >> 1;
    tables[0][i] = c;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t i = 0; i < 256; ++i)
      tables[k][i] = tables[0][tables[k - 1][i] & 0xFF] ^ (tables[k - 1][i] >> 8);
  return tables;
}();

static_assert(std::endian::native == std::endian::little, "checksums read words in little-endian order");

std::uint64_t word_at(const char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

std::uint32_t crc_by_table(std::string_view bytes, std::uint32_t c) {
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    const std::uint64_t word = word_at(bytes.data()) ^ c;
    c = 0;
    for (std::size_t k = 0; k < 8; ++k) c ^= crc_tables[7 - k][(word >> (8 * k)) & 0xFF];
  }
  for (unsigned char b : bytes) c = crc_tables[0][(c ^ b) & 0xFF] ^ (c >> 8);
  return c;
}

#if defined(__x86_64__)
/// The processor's own instruction computes exactly this polynomial.
__attribute__((target("sse4.2"))) std::uint32_t crc_by_instruction(std::string_view bytes, std::uint32_t c) {
  std::uint64_t wide = c;
  for (; bytes.size() >= 8; bytes.remove_prefix(8))
    wide = __builtin_ia32_crc32di(wide, word_at(bytes.data()));
  c = static_cast<std::uint32_t>(wide);
  for (unsigned char b : bytes) c = __builtin_ia32_crc32qi(c, b);
  return c;
}
const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
#endif

} // namespace

std::string sha256(std::string_view bytes) {
  digest it;
  it.add(bytes.data(), bytes.size());
  return it.hex();
}

expected<std::string> sha256_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(errc::not_found, "cannot read " + path.string());
  digest it;
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0)
    it.add(buffer.data(), static_cast<std::size_t>(in.gcount()));
  if (in.bad()) return fail(errc::io, "reading failed: " + path.string());
  return it.hex();
}

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) {
#if defined(__x86_64__)
  if (has_instruction) return ~crc_by_instruction(bytes, ~seed);
#endif
  return crc32c_portable(bytes, seed);
}

std::uint32_t crc32c_portable(std::string_view bytes, std::uint32_t seed) {
  return ~crc_by_table(bytes, ~seed);
}

} // namespace troupe

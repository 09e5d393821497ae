#pragma once

#include "runtime/base/error.hpp"
#include <filesystem>
#include <string_view>

namespace troupe {

/// A file in memory without being read: pages come when they are touched. A file that another process cuts short while it
/// is mapped ends this one with a bus error, as every map does; Troupe's own files are replaced, never changed.
class mapped_file {
public:
  /// Errors: not_found, io, invalid for what is no regular file.
  static expected<mapped_file> open(const std::filesystem::path& file);
  mapped_file(mapped_file&& other) noexcept;
  mapped_file& operator=(mapped_file&& other) noexcept;
  ~mapped_file();

  std::string_view bytes() const { return {static_cast<const char*>(place_), size_}; }

private:
  mapped_file(void* place, std::size_t size) : place_(place), size_(size) {}
  void* place_ = nullptr;
  std::size_t size_ = 0;
};

} // namespace troupe

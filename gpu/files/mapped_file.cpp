#include "gpu/files/mapped_file.hpp"

#include "runtime/base/file.hpp"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace troupe {

expected<mapped_file> mapped_file::open(const std::filesystem::path& file) {
  const int handle = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0) return fail(system_error("opening", file));
  struct ::stat about {};
  if (::fstat(handle, &about) != 0) {
    auto why = system_error("looking at", file);
    ::close(handle);
    return fail(std::move(why));
  }
  if (!S_ISREG(about.st_mode)) {
    ::close(handle);
    return fail(errc::invalid, file.string() + " is no regular file");
  }
  const auto size = static_cast<std::size_t>(about.st_size);
  void* place = size == 0 ? nullptr : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, handle, 0);
  if (place == MAP_FAILED) {
    auto why = system_error("mapping", file);
    ::close(handle);
    return fail(std::move(why));
  }
  ::close(handle); // the map holds the file
  return mapped_file(place, size);
}

mapped_file::mapped_file(mapped_file&& other) noexcept
    : place_(std::exchange(other.place_, nullptr)), size_(std::exchange(other.size_, 0)) {}

mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
  std::swap(place_, other.place_);
  std::swap(size_, other.size_);
  return *this;
}

mapped_file::~mapped_file() {
  if (place_) ::munmap(place_, size_);
}

} // namespace troupe

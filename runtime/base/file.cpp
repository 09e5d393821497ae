#include "runtime/base/file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {
struct descriptor {
  int fd;
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
};
} // namespace

error system_error(std::string_view doing, const std::filesystem::path& path) {
  const int code = errno;
  const bool no_space =
      code == ENOSPC || code == EDQUOT || code == EFBIG; // EFBIG: the process's file size limit
  const auto kind = no_space ? errc::disk_full : code == ENOENT ? errc::not_found : errc::io;
  return {kind, std::string(doing) + " " + path.string() + ": " + std::strerror(code)};
}

expected<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
  descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return fail(system_error("cannot open", path));
  std::string out;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(file.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(system_error("cannot read", path));
    if (n == 0) return out;
    if (out.size() + static_cast<std::size_t>(n) > limit)
      return fail(errc::exhausted,
                  path.string() + " is larger than the limit of " + std::to_string(limit) + " bytes");
    out.append(buffer, static_cast<std::size_t>(n));
  }
}

expected<void> sync_folder(const std::filesystem::path& folder) {
  descriptor dir{::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (dir.fd < 0) return fail(system_error("cannot open folder", folder));
  if (::fsync(dir.fd) != 0) return fail(system_error("cannot sync folder", folder));
  return {};
}

expected<void> make_folders(const std::filesystem::path& folder) {
  if (folder.empty() || std::filesystem::is_directory(folder)) return {};
  if (auto above = make_folders(folder.parent_path()); !above) return above;
  if (::mkdir(folder.c_str(), 0777) != 0 && (errno != EEXIST || !std::filesystem::is_directory(folder)))
    return fail(system_error("cannot create folder", folder));
  return sync_folder(folder.parent_path());
}

expected<void> write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  auto beside = path;
  beside += ".tmp" + std::to_string(::getpid());
  auto give_up = [&](std::string_view doing) {
    auto why = system_error(doing, path);
    ::unlink(beside.c_str());
    return fail(std::move(why));
  };
  {
    descriptor file{::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (file.fd < 0) return give_up("cannot create");
    while (!bytes.empty()) {
      const ssize_t n = ::write(file.fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return give_up("cannot write");
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(file.fd) != 0) return give_up("cannot sync");
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) return give_up("cannot rename to");
  return sync_folder(path.parent_path());
}

} // namespace troupe

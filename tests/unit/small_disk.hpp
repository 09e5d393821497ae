#pragma once

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/mount.h>
#include <unistd.h>

/// A disk of a few hundred kilobytes: a tmpfs mounted on a folder. Needs the right to mount; `reason` says
/// why there is none.
class small_disk {
public:
  small_disk(const std::filesystem::path& at, std::size_t bytes) : path(at) {
    std::filesystem::create_directories(at);
    const std::string options = "size=" + std::to_string(bytes);
    mounted = ::mount("tmpfs", at.c_str(), "tmpfs", 0, options.c_str()) == 0;
    if (!mounted) reason = std::string("no right to mount a small disk: ") + std::strerror(errno);
  }
  ~small_disk() {
    if (mounted) ::umount2(path.c_str(), MNT_DETACH);
  }
  small_disk(const small_disk&) = delete;

  /// Fills what is left; `free` gives it back.
  void fill() {
    const int fd = ::open(ballast().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    char block[4096] = {};
    while (::write(fd, block, sizeof block) > 0) {
    }
    ::close(fd);
  }
  void free() { std::filesystem::remove(ballast()); }

  /// Nothing can be written any more.
  bool make_read_only() {
    return ::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  }

  std::filesystem::path path;
  bool mounted = false;
  std::string reason;

private:
  std::filesystem::path ballast() const { return path / "ballast"; }
};

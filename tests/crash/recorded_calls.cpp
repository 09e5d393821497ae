// The system calls of this test program, as recorded_disk sees them. Without one alive they are what they always are.
#include "tests/crash/recorded_disk.hpp"

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <fcntl.h>
#include <mutex>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

using kind = recorded_disk::kind;

namespace {
recorded_disk* current = nullptr;
std::recursive_mutex guard;
} // namespace

recorded_disk::recorded_disk(const std::filesystem::path& folder)
    : root_(std::filesystem::absolute(folder).lexically_normal().string()) {
  before_[1].is_folder = true;
  take_in(root_, 1);
  now_ = before_;
  std::scoped_lock lock(guard);
  current = this;
}

recorded_disk::~recorded_disk() {
  std::scoped_lock lock(guard);
  current = nullptr;
}

/// Each takes a call that may concern the disk, does it, and notes what it did.
struct recorded_calls {
  using place = recorded_disk::place;

  static int fails_with(int code) {
    errno = code;
    return -1;
  }
  static std::string resolve(int folder_fd, const char* path) {
    if (folder_fd == AT_FDCWD || path[0] == '/') return path;
    char target[4096];
    const auto link = "/proc/self/fd/" + std::to_string(folder_fd);
    const auto n = ::readlink(link.c_str(), target, sizeof target);
    return n < 0 ? std::string(path) : std::string(target, static_cast<std::size_t>(n)) + "/" + path;
  }
  static void note(recorded_disk& disk, recorded_disk::operation what) {
    disk.log_.push_back(std::move(what));
  }

  static int open(int folder_fd, const char* path, int flags, mode_t mode) {
    const auto really = [&] { return static_cast<int>(::syscall(SYS_openat, folder_fd, path, flags, mode)); };
    if (!current) return really();
    std::scoped_lock lock(guard);
    place at;
    if (!current || !current->find(resolve(folder_fd, path), at)) return really();
    auto& disk = *current;
    const bool fresh = at.node == 0 && (flags & O_CREAT);
    if (fresh)
      if (const int code = disk.refuses()) return fails_with(code);
    const int fd = really();
    if (fd < 0) return fd;
    if (fresh) {
      at.node = ++disk.last_node_;
      disk.now_[at.node] = {};
      disk.now_[at.folder].names[at.name] = at.node;
      note(
          disk,
          {kind::create, at.node, at.folder, at.name, {}, 0, 0, {}, disk.relative(resolve(folder_fd, path))});
    } else if ((flags & O_TRUNC) && at.node) {
      note(disk, {kind::truncate, at.node, 0, {}, {}, 0, 0, {}, disk.relative(resolve(folder_fd, path))});
    }
    if (at.node) {
      disk.open_[fd] = at.node;
      disk.paths_[at.node] = disk.relative(resolve(folder_fd, path));
    }
    return fd;
  }

  /// The node of a descriptor, or 0.
  static std::uint64_t of(int fd) {
    if (!current) return 0;
    const auto it = current->open_.find(fd);
    return it == current->open_.end() ? 0 : it->second;
  }

  static ssize_t write(int fd, const void* data, std::size_t size, std::int64_t at) {
    const auto really = [&](std::size_t n) {
      return at < 0 ? ::syscall(SYS_write, fd, data, n) : ::syscall(SYS_pwrite64, fd, data, n, at);
    };
    if (!current) return really(size);
    std::scoped_lock lock(guard);
    const auto node = of(fd);
    if (!node) return really(size);
    auto& disk = *current;
    const auto where = at < 0 ? ::lseek(fd, 0, SEEK_CUR) : at;
    const int code = disk.refuses();
    if (code == ENOSPC && size >= 1024)
      size = size / 1024 * 512; // there was room for a part
    else if (code)
      return fails_with(code);
    const auto n = really(size);
    if (n > 0)
      note(disk, {kind::write,
                  node,
                  0,
                  {},
                  {},
                  0,
                  static_cast<std::uint64_t>(where),
                  std::string(static_cast<const char*>(data), static_cast<std::size_t>(n)),
                  disk.paths_[node]});
    if (code == ENOSPC && disk.countdown_ == 0) disk.countdown_ = 1; // and the rest finds none
    return n;
  }

  static int truncate(int fd, std::int64_t size) {
    std::scoped_lock lock(guard);
    const auto node = of(fd);
    if (node)
      if (const int code = current->refuses()) return fails_with(code);
    const auto done = static_cast<int>(::syscall(SYS_ftruncate, fd, size));
    if (node && done == 0)
      note(*current,
           {kind::truncate, node, 0, {}, {}, 0, static_cast<std::uint64_t>(size), {}, current->paths_[node]});
    return done;
  }

  static int sync(int fd, long call) {
    if (!current) return static_cast<int>(::syscall(call, fd));
    std::scoped_lock lock(guard);
    const auto node = of(fd);
    if (!node) return static_cast<int>(::syscall(call, fd));
    if (const int code = current->refuses()) return fails_with(code);
    note(*current, {current->now_[node].is_folder ? kind::sync_folder : kind::sync,
                    node,
                    0,
                    {},
                    {},
                    0,
                    0,
                    {},
                    current->paths_[node]});
    return 0; // power cuts are played back from the log: the machine's own disk need not wait
  }

  static int rename(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) {
    const auto really = [&] {
      return static_cast<int>(::syscall(SYS_renameat2, from_fd, from, to_fd, to, flags));
    };
    if (!current) return really();
    std::scoped_lock lock(guard);
    place source, target;
    if (!current || !current->find(resolve(from_fd, from), source) ||
        !current->find(resolve(to_fd, to), target))
      return really();
    if (const int code = current->refuses()) return fails_with(code);
    const int done = really();
    if (done != 0) return done;
    const bool exchange = flags & RENAME_EXCHANGE;
    recorded_disk::rename_in(current->now_, source.folder, source.name, target.folder, target.name, exchange);
    note(*current, {exchange ? kind::exchange : kind::rename,
                    source.node,
                    source.folder,
                    source.name,
                    target.name,
                    target.folder,
                    0,
                    {},
                    current->relative(resolve(to_fd, to))});
    return 0;
  }

  static int remove(int folder_fd, const char* path, int flags) {
    const auto really = [&] { return static_cast<int>(::syscall(SYS_unlinkat, folder_fd, path, flags)); };
    if (!current) return really();
    std::scoped_lock lock(guard);
    place at;
    if (!current || !current->find(resolve(folder_fd, path), at) || !at.node) return really();
    if (const int code = current->refuses()) return fails_with(code);
    const int done = really();
    if (done != 0) return done;
    current->now_[at.folder].names.erase(at.name);
    note(*current, {kind::remove,
                    at.node,
                    at.folder,
                    at.name,
                    {},
                    0,
                    0,
                    {},
                    current->relative(resolve(folder_fd, path))});
    return 0;
  }

  static int make_folder(const char* path, mode_t mode) {
    const auto really = [&] { return static_cast<int>(::syscall(SYS_mkdir, path, mode)); };
    if (!current) return really();
    std::scoped_lock lock(guard);
    place at;
    if (!current || !current->find(path, at) || at.node) return really();
    if (const int code = current->refuses()) return fails_with(code);
    const int done = really();
    if (done != 0) return done;
    at.node = ++current->last_node_;
    current->now_[at.node].is_folder = true;
    current->now_[at.folder].names[at.name] = at.node;
    note(*current, {kind::make_folder, at.node, at.folder, at.name, {}, 0, 0, {}, current->relative(path)});
    return 0;
  }

  static int close(int fd) {
    if (current) {
      std::scoped_lock lock(guard);
      if (current) current->open_.erase(fd);
    }
    return static_cast<int>(::syscall(SYS_close, fd));
  }

  static mode_t mode_in(int flags, va_list& list) {
    return flags & (O_CREAT | O_TMPFILE) ? static_cast<mode_t>(va_arg(list, int)) : 0;
  }
};

// The names that programs and libraries call. A shared library's calls come here too: the program's symbols go before the C library's.
extern "C" {

#define TROUPE_OPEN(name, parameters, folder)                                                                \
  int name parameters {                                                                                      \
    va_list list;                                                                                            \
    va_start(list, flags);                                                                                   \
    const auto mode = recorded_calls::mode_in(flags, list);                                                  \
    va_end(list);                                                                                            \
    return recorded_calls::open(folder, path, flags, mode);                                                  \
  }
TROUPE_OPEN(open, (const char* path, int flags, ...), AT_FDCWD)
TROUPE_OPEN(open64, (const char* path, int flags, ...), AT_FDCWD)
TROUPE_OPEN(openat, (int folder, const char* path, int flags, ...), folder)
TROUPE_OPEN(openat64, (int folder, const char* path, int flags, ...), folder)
#undef TROUPE_OPEN

int close(int fd) { return recorded_calls::close(fd); }
ssize_t write(int fd, const void* data, size_t size) { return recorded_calls::write(fd, data, size, -1); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return recorded_calls::write(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  return recorded_calls::write(fd, data, size, at);
}
int ftruncate(int fd, off_t size) noexcept { return recorded_calls::truncate(fd, size); }
int ftruncate64(int fd, off64_t size) noexcept { return recorded_calls::truncate(fd, size); }
int fsync(int fd) { return recorded_calls::sync(fd, SYS_fsync); }
int fdatasync(int fd) { return recorded_calls::sync(fd, SYS_fdatasync); }
int rename(const char* from, const char* to) noexcept {
  return recorded_calls::rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  return recorded_calls::rename(from_folder, from, to_folder, to, flags);
}
int unlink(const char* path) noexcept { return recorded_calls::remove(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char* path, int flags) noexcept {
  return recorded_calls::remove(folder, path, flags);
}
int rmdir(const char* path) noexcept { return recorded_calls::remove(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) noexcept {
  struct stat about {};
  const bool folder = ::lstat(path, &about) == 0 && S_ISDIR(about.st_mode);
  return recorded_calls::remove(AT_FDCWD, path, folder ? AT_REMOVEDIR : 0);
}
int mkdir(const char* path, mode_t mode) noexcept { return recorded_calls::make_folder(path, mode); }

} // extern "C"

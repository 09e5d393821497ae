#pragma once

#include "runtime/base/error.hpp"
#include <filesystem>

namespace troupe {

/// The exclusive right to write into a run folder: an flock on `FOLDER/lock`, which names its holder for
/// people.
///   LOCK-1  At most one process (and one run_lock) holds a folder.
///   LOCK-2  It is released when its holder lets go or dies, by whatever signal: the kernel keeps it, not the
///   file's content.
class run_lock {
public:
  /// Errors: in_use (the message names the holder's process and host), not_found (no such folder), disk_full,
  /// io.
  static expected<run_lock> take(const std::filesystem::path& folder);
  run_lock(run_lock&& other) noexcept;
  run_lock& operator=(run_lock&& other) noexcept;
  ~run_lock();

private:
  explicit run_lock(int fd) : fd_(fd) {}
  int fd_;
};

} // namespace troupe

#include "runtime/run_lock.hpp"

#include "runtime/base/file.hpp"
#include <cerrno>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace {

std::string holder(int fd) {
  char text[512];
  const ssize_t n = ::pread(fd, text, sizeof text, 0);
  std::string out(text, n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out.empty() ? "another process" : out;
}

std::string self_description() {
  char host[HOST_NAME_MAX + 1] = {};
  ::gethostname(host, sizeof host - 1);
  return "process " + std::to_string(::getpid()) + " on " + host + "\n";
}

} // namespace

expected<run_lock> run_lock::take(const std::filesystem::path& folder) {
  const auto file = folder / "lock";
  // O_CLOEXEC: a tool's process must not inherit the lock and outlive the run with it.
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return fail(system_error("cannot open the lock", file));
  run_lock lock(fd);
  int code;
  do code = ::flock(fd, LOCK_EX | LOCK_NB);
  while (code != 0 && errno == EINTR);
  if (code != 0 && errno == EWOULDBLOCK)
    return fail(errc::in_use, "the run folder " + folder.string() + " is in use by " + holder(fd) +
                                  "; wait for it, stop it, or choose another run.name");
  if (code != 0) return fail(system_error("cannot lock", file));
  const std::string text = self_description();
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return fail(system_error("cannot write the lock", file));
  return lock;
}

run_lock::run_lock(run_lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

run_lock& run_lock::operator=(run_lock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

run_lock::~run_lock() {
  if (fd_ >= 0) ::close(fd_);
}

} // namespace troupe

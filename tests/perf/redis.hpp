#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace troupe {

/// A redis-server with appendfsync always, on a Unix socket in `folder`, for comparison in benchmarks alone. Ends with the object.
class redis_server {
public:
  static bool installed() { return std::filesystem::exists("/usr/bin/redis-server"); }
  explicit redis_server(const std::filesystem::path& folder)
      : socket_(std::filesystem::absolute(folder / "redis.sock")) {
    const auto here = std::filesystem::absolute(folder).string();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (!std::freopen("/dev/null", "w", stdout)) ::_exit(126);
      ::execl("/usr/bin/redis-server", "redis-server", "--port", "0", "--unixsocket", socket_.c_str(),
              "--dir", here.c_str(), "--save", "", "--appendonly", "yes", "--appendfsync", "always",
              "--auto-aof-rewrite-percentage", "0", nullptr);
      ::_exit(127);
    }
  }
  ~redis_server() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  redis_server(const redis_server&) = delete;

  /// A connected socket, or -1 after five seconds.
  int connect() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_.string().copy(address.sun_path, sizeof address.sun_path - 1);
    for (int tries = 0; tries < 500; ++tries, ::usleep(10000)) {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
      ::close(fd);
    }
    return -1;
  }

private:
  std::filesystem::path socket_;
  pid_t pid_;
};

/// Sends `total` SETs of 1 KiB over `connections`, `window` under way on each; appends each one's seconds to `latencies`. False: a
/// connection failed.
inline bool set_many(const redis_server& redis, int connections, int window, std::uint64_t first,
                     std::uint64_t total, std::vector<double>& latencies) {
  struct connection {
    int fd;
    std::deque<duration> sent;
  };
  std::vector<connection> all;
  std::vector<pollfd> waiting;
  const std::string body(1024, 'x');
  std::uint64_t next = first, answered = 0;
  bool well = true;
  const auto send_some = [&](connection& c, int n) {
    std::string out;
    for (; n > 0 && next < first + total; --n, ++next) {
      const auto key = "turn/" + std::to_string(next % 64) + "/" + std::to_string(next);
      out += "*3\r\n$3\r\nSET\r\n$" + std::to_string(key.size()) + "\r\n" + key + "\r\n$1024\r\n" + body +
             "\r\n";
      c.sent.push_back(system_clock().now());
    }
    for (std::string_view rest = out; well && !rest.empty();) {
      const auto n_sent = ::send(c.fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      well = n_sent > 0;
      if (well) rest.remove_prefix(static_cast<std::size_t>(n_sent));
    }
  };
  for (int i = 0; i < connections; ++i) {
    all.push_back({redis.connect(), {}});
    well = well && all.back().fd >= 0;
    waiting.push_back({all.back().fd, POLLIN, 0});
  }
  for (auto& c : all)
    if (well) send_some(c, window);
  while (well && answered < total) {
    if (::poll(waiting.data(), waiting.size(), 10000) <= 0) well = false;
    for (std::size_t i = 0; well && i < all.size(); ++i) {
      if (!(waiting[i].revents & POLLIN)) continue;
      char buffer[1 << 14];
      const auto n = ::read(all[i].fd, buffer, sizeof buffer);
      well = n > 0;
      int replies = 0; // each "+OK\r\n": a line
      for (ssize_t b = 0; b < n; ++b) {
        replies += buffer[b] == '\n';
        well = well && buffer[b] != '-';
      }
      for (int r = 0; r < replies; ++r, ++answered) {
        latencies.push_back(seconds(system_clock().now() - all[i].sent.front()));
        all[i].sent.pop_front();
      }
      send_some(all[i], replies);
    }
  }
  for (auto& c : all)
    if (c.fd >= 0) ::close(c.fd);
  return well;
}

} // namespace troupe

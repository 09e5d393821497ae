#include "cli/child_run.hpp"

#include "runtime/base/clock.hpp"
#include "runtime/base/file.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <optional>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace troupe::cli {

namespace fs = std::filesystem;

namespace {

/// CPU seconds of each thread of a process, summed by thread name (proc(5): stat fields 14 and 15).
void sample_threads(pid_t pid, std::map<std::string, std::map<int, double>>& by_name) {
  const double tick = static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", ignored)) {
    std::ifstream in(entry.path() / "stat");
    std::string line;
    if (!std::getline(in, line)) continue;
    const auto open = line.find('('), close = line.rfind(')');
    if (open == std::string::npos || close == std::string::npos) continue;
    const auto name = line.substr(open + 1, close - open - 1);
    unsigned long user = 0, system = 0;
    if (std::sscanf(line.c_str() + close + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                    &system) != 2)
      continue;
    by_name[name][std::atoi(entry.path().filename().c_str())] = static_cast<double>(user + system) / tick;
  }
}

/// Resident memory (proc(5): statm, field 2) and how many descriptors are open.
std::optional<child_result::sample> sample_process(pid_t pid, double at) {
  const auto folder = "/proc/" + std::to_string(pid);
  std::ifstream in(folder + "/statm");
  long size = 0, resident = 0;
  if (!(in >> size >> resident)) return std::nullopt;
  child_result::sample out{
      at, static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1048576.0, 0};
  std::error_code failed;
  for (fs::directory_iterator it(folder + "/fd", failed), end; !failed && it != end; it.increment(failed))
    ++out.descriptors;
  return out;
}

} // namespace

const json::object* child_result::last(std::string_view kind) const {
  for (auto it = records.rbegin(); it != records.rend(); ++it)
    if (const auto* k = it->if_contains("kind"); k && k->is_string() && k->get_string() == kind) return &*it;
  return nullptr;
}

expected<child_result> run_child(const std::vector<std::string>& arguments,
                                 const std::function<void(const json::object&)>& heard) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(system_error("cannot make a pipe for", "a child process"));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  const auto self = fs::read_symlink("/proc/self/exe").string();
  std::vector<char*> argv{const_cast<char*>(self.c_str())};
  for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  child_result out;
  const auto start = system_clock().now();
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, self.c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (failed) {
    ::close(ends[0]);
    return fail(errc::io, "cannot start " + self + ": " + std::strerror(failed));
  }
  std::map<std::string, std::map<int, double>> threads;
  std::string buffer;
  char piece[1 << 16];
  auto last_sample = start - std::chrono::seconds(1);
  for (;;) {
    if (const auto now = system_clock().now(); now - last_sample >= std::chrono::milliseconds(500)) {
      last_sample = now;
      if (auto one = sample_process(pid, seconds(now - start))) out.samples.push_back(*one);
    }
    pollfd ready{ends[0], POLLIN, 0};
    if (::poll(&ready, 1, 500) == 0) {
      sample_threads(pid, threads);
      continue;
    }
    const ssize_t n = ::read(ends[0], piece, sizeof piece);
    if (n <= 0) break;
    sample_threads(pid, threads);
    buffer.append(piece, static_cast<std::size_t>(n));
    for (std::size_t end; (end = buffer.find('\n')) != std::string::npos; buffer.erase(0, end + 1)) {
      auto record = json::parse(std::string_view(buffer).substr(0, end));
      if (!record || !record->is_object()) continue;
      if (heard) heard(record->get_object());
      out.records.push_back(std::move(record->get_object()));
    }
  }
  ::close(ends[0]);
  int status = 0;
  rusage usage{};
  ::wait4(pid, &status, 0, &usage);
  out.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  out.seconds = seconds(system_clock().now() - start);
  out.peak_mib = static_cast<double>(usage.ru_maxrss) / 1024.0;
  for (const auto& [name, each] : threads)
    for (const auto& [tid, used] : each) out.cpu[name] += used;
  return out;
}

} // namespace troupe::cli

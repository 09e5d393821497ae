#pragma once

#include "runtime/base/json.hpp"
#include <chrono>
#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace troupe::tests {

/// A real process of the real program, its output in files. Ends with the object: what a test started, it stops by its process id.
class process {
public:
  /// Starts the `troupe` of this build in `folder`.
  static process troupe(std::vector<std::string> arguments, const std::filesystem::path& folder,
                        std::vector<std::string> environment = {});
  process(process&& other) noexcept;
  ~process();

  void signal(int number) const;
  bool running();
  /// The exit code (128 + signal if it was killed); -1 if it still runs after `patience`.
  int wait(std::chrono::milliseconds patience);
  /// Waits until its output holds `text`; false if it ends or `patience` is over before.
  bool says(const std::string& text, std::chrono::milliseconds patience);
  std::string out() const; ///< standard output so far
  std::string err() const;
  pid_t pid() const { return pid_; }

private:
  process() = default;
  pid_t pid_ = -1;
  int code_ = -1;
  std::filesystem::path out_, err_;
};

/// A folder of its own below the system's temporary one; removed at the end.
class scratch {
public:
  scratch();
  ~scratch();
  const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

/// A run small enough for a test: a policy of 0.1 M parameters, a warm-up of seconds, few questions. `more` goes on top.
std::vector<std::string> small_run(std::vector<std::string> more = {});
std::filesystem::path quickstart_config();
/// The JSON lines of a text; lines that are none are left out.
std::vector<json::object> json_lines(const std::string& text);
/// Runs such a command to its end and expects this exit code; the object that it prints, or an empty one.
json::object printed_object(std::vector<std::string> arguments, const std::filesystem::path& folder,
                            int code = 0, std::chrono::milliseconds patience = std::chrono::seconds(60));
/// The Python of the environment that tests/oracles/venv.sh makes; it may not be there.
std::filesystem::path oracle_python();
/// -1: there is no such number.
double number(const json::object& from, std::string_view key);

} // namespace troupe::tests

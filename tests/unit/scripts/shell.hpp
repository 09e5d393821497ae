#pragma once

#include "tests/unit/folder.hpp"
#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <sys/wait.h>

namespace troupe::test {

struct shell_result {
  int status = -1;    ///< the exit status; 128 + n when signal n ended it
  std::string output; ///< standard output and standard error, as they came
};

/// Runs a line of bash with an empty standard input.
inline shell_result shell(const std::string& line) {
  shell_result result;
  std::string quoted;
  for (char c : line) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  FILE* pipe = popen(("exec bash -c '" + quoted + "' </dev/null 2>&1").c_str(), "r");
  if (!pipe) return result;
  std::array<char, 4096> piece{};
  while (const auto n = std::fread(piece.data(), 1, piece.size(), pipe))
    result.output.append(piece.data(), n);
  const int raw = pclose(pipe);
  result.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  return result;
}

inline void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

} // namespace troupe::test

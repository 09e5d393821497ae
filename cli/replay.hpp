#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe::cli {

struct replay_arguments {
  std::filesystem::path run;
  std::string steps;          ///< "A..B": compare the rollouts of these; empty: of all
  std::int64_t rollouts = -1; ///< compare at most so many of each step; -1: all
  bool json = false;
};
/// `ok` only if everything that was recorded comes out again, bit for bit.
int replay(const replay_arguments& arguments);

} // namespace troupe::cli

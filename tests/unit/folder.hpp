#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <unistd.h>

/// A folder of one test, removed with everything in it.
class test_folder {
public:
  explicit test_folder(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    static std::atomic<int> count{0};
    path = parent / ("troupe_test." + std::to_string(::getpid()) + "." + std::to_string(++count));
    std::filesystem::create_directories(path);
  }
  ~test_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  test_folder(const test_folder&) = delete;
  std::filesystem::path path;
};

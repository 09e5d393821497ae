#pragma once

#include "runtime/base/error.hpp"
#include <filesystem>
#include <string>
#include <string_view>

namespace troupe {

/// The whole file. Errors: not_found, io, exhausted (larger than `limit` bytes).
expected<std::string> read_file(const std::filesystem::path& path, std::size_t limit = std::size_t{1} << 30);

/// Writes beside the target, syncs, renames over it and syncs the folder: a reader sees the old file or the
/// new one, never a part. Errors: disk_full, io; the old file is then untouched.
expected<void> write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// Makes a folder and those above it, so that they survive a power cut. One that is there already is fine. Errors: disk_full, io.
expected<void> make_folders(const std::filesystem::path& folder);

/// Makes a finished rename or creation in `folder` survive a power cut.
expected<void> sync_folder(const std::filesystem::path& folder);

/// The error of the last system call, as a value: ENOSPC, EDQUOT and EFBIG become disk_full, ENOENT
/// not_found, the rest io.
error system_error(std::string_view doing, const std::filesystem::path& path);

} // namespace troupe

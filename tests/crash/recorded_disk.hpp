#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

/// What the program does to the files below one folder, seen at the system calls (open, write, pwrite, ftruncate, fsync, fdatasync,
/// rename, renameat2, unlink, mkdir, rmdir): those of SQLite, of the standard library and of Troupe alike, because the test program
/// itself defines these functions. The product has no hook for it.
///
/// What was noted can be played back up to any moment, as the files that a power cut there would leave. Nothing is taken for granted
/// but what POSIX says: a write is on the disk after an fsync of its file, a name after an fsync of its folder. One at a time; not
/// seen are SQLite's shared memory (*-shm, made anew by whoever opens first) and what goes through FILE.
class recorded_disk {
public:
  enum class kind : std::uint8_t {
    create,
    write,
    truncate,
    sync,
    make_folder,
    rename,
    exchange,
    remove,
    sync_folder
  };
  struct operation {
    kind what;
    std::uint64_t node;   ///< the file or folder; of the last four, the one that had the name
    std::uint64_t folder; ///< where the name is, for operations on names
    std::string name, to;
    std::uint64_t to_folder = 0;
    std::uint64_t at = 0;
    std::string bytes;
    std::string file; ///< its path below the folder, for people
  };
  /// How much of what was not synced a power cut leaves.
  enum class luck : std::uint8_t {
    none, ///< nothing
    all,  ///< everything
    torn, ///< some writes, in any order, in part; a prefix of the changes of names
    count
  };

  explicit recorded_disk(const std::filesystem::path& folder);
  ~recorded_disk();
  recorded_disk(const recorded_disk&) = delete;

  const std::vector<operation>& log() const { return log_; }
  /// Writes into `folder` what a power cut after the first `n` operations leaves.
  void after_power_cut(std::size_t n, luck how, std::uint64_t seed,
                       const std::filesystem::path& folder) const;

  /// Fails the n-th write, truncation, sync or change of a name from now (1 is the next) and the `more` after it, with this errno.
  /// A write without space is done in part.
  void fail_at(std::size_t n, int code, std::size_t more = 0) { countdown_ = n, code_ = code, more_ = more; }
  bool failed() const { return failures_ > 0; }
  std::size_t attempts() const { return attempts_; } ///< operations that could have failed so far

  static const char* name_of(kind what);

private:
  friend struct recorded_calls;
  struct node {
    bool is_folder = false;
    std::string content; ///< at the start of the recording
    std::map<std::string, std::uint64_t> names;
  };
  using tree = std::map<std::uint64_t, node>;
  struct place {
    std::uint64_t folder = 0, node = 0; ///< 0: is not there (the root is 1)
    std::string name;
  };
  void take_in(const std::filesystem::path& folder, std::uint64_t node);
  /// Where a path leads; false: not below the folder, or its folder is not there.
  bool find(const std::string& path, place& out) const;
  std::string relative(const std::string& path) const;
  int refuses(); ///< the errno, or 0
  static void rename_in(tree& all, std::uint64_t from, const std::string& name, std::uint64_t to,
                        const std::string& to_name, bool exchange);
  static void write_out(const tree& all, const std::map<std::uint64_t, std::string>& contents,
                        std::uint64_t node, const std::filesystem::path& folder);

  std::string root_;
  tree before_, now_;
  std::uint64_t last_node_ = 1;
  std::map<int, std::uint64_t> open_;
  std::map<std::uint64_t, std::string> paths_; ///< of nodes, as last named
  std::vector<operation> log_;
  std::size_t countdown_ = 0, more_ = 0, attempts_ = 0, failures_ = 0;
  int code_ = 0;
};

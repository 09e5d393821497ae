#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sqlite3.h>
#include <string>
#include <vector>

/// A disk under SQLite that a test rules: it notes every write, truncation, sync and deletion, and fails
/// those it is told to. What was noted can be played back up to any moment, as the files that a power cut
/// would leave. One at a time; while it lives it is SQLite's default.
class faulty_disk {
public:
  enum class kind : std::uint8_t { write, truncate, sync, remove };
  struct operation {
    kind what;
    std::string file; ///< its name without the folder
    sqlite3_int64 at = 0;
    std::string bytes;
  };
  std::vector<operation> log;
  /// Fails the n-th write or sync from now (1 is the next) and `more` after it; 0: none.
  void fail_after(int n, int more = 0) { countdown_ = n, more_ = more; }
  bool failed() const { return failed_; }

  faulty_disk() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
    now_ = this;
    vfs_.zName = "faulty";
    vfs_.szOsFile = static_cast<int>(sizeof(file)) + real_->szOsFile;
    vfs_.xOpen = open;
    vfs_.xDelete = remove;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~faulty_disk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
    now_ = nullptr;
  }
  faulty_disk(const faulty_disk&) = delete;

  /// The files after the first `n` operations. Of what no later sync covers, `survives(i)` says which
  /// operations reached the disk and how many bytes of a write did.
  template <class Survives>
  void replay(std::size_t n, const std::filesystem::path& folder, Survives survives) const {
    std::map<std::string, std::string> files;
    std::map<std::string, std::size_t> last_sync;
    for (std::size_t i = 0; i < n; ++i)
      if (log[i].what == kind::sync) last_sync[log[i].file] = i;
    for (std::size_t i = 0; i < n; ++i) {
      auto& [what, name, at, bytes] = log[i];
      auto& content = files[name];
      const auto synced = last_sync.find(name);
      const bool durable = synced != last_sync.end() && i < synced->second;
      const std::size_t size = durable ? bytes.size() : survives(i, bytes.size());
      if (what == kind::write && size > 0) {
        const auto end = static_cast<std::size_t>(at) + size;
        if (content.size() < end) content.resize(end);
        std::memcpy(content.data() + at, bytes.data(), size);
      } else if (what == kind::truncate && durable) {
        content.resize(static_cast<std::size_t>(at));
      } else if (what == kind::remove) {
        files.erase(name);
      }
    }
    for (auto& [name, content] : files) std::ofstream(folder / name, std::ios::binary) << content;
  }

private:
  struct file {
    sqlite3_file base;
    std::string* name;
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };
  static file* of(sqlite3_file* f) { return reinterpret_cast<file*>(f); }
  static sqlite3_file* real_of(sqlite3_file* f) { return of(f)->real(); }
  static std::string leaf(const char* path) {
    return path ? std::filesystem::path(path).filename().string() : "temporary";
  }

  bool refuses() {
    if (countdown_ == 0 || --countdown_ > 0) return false;
    failed_ = true;
    countdown_ = more_-- > 0 ? 1 : 0;
    return true;
  }

  static int open(sqlite3_vfs*, const char* path, sqlite3_file* f, int flags, int* out) {
    static const sqlite3_io_methods methods = {3,        close,   read,     write,   truncate, sync,   size,
                                               lock,     unlock,  reserved, control, sector,   traits, map,
                                               shm_lock, barrier, unmap,    nullptr, nullptr};
    auto* it = of(f);
    it->base.pMethods = nullptr;
    const int code = now_->real_->xOpen(now_->real_, path, it->real(), flags, out);
    if (code != SQLITE_OK) return code;
    it->name = new std::string(leaf(path));
    it->base.pMethods = &methods;
    return code;
  }
  static int remove(sqlite3_vfs*, const char* path, int sync_folder) {
    now_->log.push_back({kind::remove, leaf(path), 0, {}});
    return now_->real_->xDelete(now_->real_, path, sync_folder);
  }
  static int close(sqlite3_file* f) {
    delete of(f)->name;
    return real_of(f)->pMethods->xClose(real_of(f));
  }
  static int write(sqlite3_file* f, const void* data, int n, sqlite3_int64 at) {
    if (now_->refuses()) return SQLITE_FULL;
    now_->log.push_back({kind::write, *of(f)->name, at,
                         std::string(static_cast<const char*>(data), static_cast<std::size_t>(n))});
    return real_of(f)->pMethods->xWrite(real_of(f), data, n, at);
  }
  static int truncate(sqlite3_file* f, sqlite3_int64 n) {
    now_->log.push_back({kind::truncate, *of(f)->name, n, {}});
    return real_of(f)->pMethods->xTruncate(real_of(f), n);
  }
  static int sync(sqlite3_file* f, int flags) {
    if (now_->refuses()) return SQLITE_IOERR_FSYNC;
    now_->log.push_back({kind::sync, *of(f)->name, 0, {}});
    (void)flags; // a power cut is played back from the log: the machine's own disk need not wait
    return SQLITE_OK;
  }
  static int read(sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
    return real_of(f)->pMethods->xRead(real_of(f), to, n, at);
  }
  static int size(sqlite3_file* f, sqlite3_int64* out) {
    return real_of(f)->pMethods->xFileSize(real_of(f), out);
  }
  static int lock(sqlite3_file* f, int how) { return real_of(f)->pMethods->xLock(real_of(f), how); }
  static int unlock(sqlite3_file* f, int how) { return real_of(f)->pMethods->xUnlock(real_of(f), how); }
  static int reserved(sqlite3_file* f, int* out) {
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
  }
  static int control(sqlite3_file* f, int op, void* arg) {
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
  }
  static int sector(sqlite3_file* f) { return real_of(f)->pMethods->xSectorSize(real_of(f)); }
  static int traits(sqlite3_file* f) { return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f)); }
  static int map(sqlite3_file* f, int page, int n, int extend, void volatile** out) {
    return real_of(f)->pMethods->xShmMap(real_of(f), page, n, extend, out);
  }
  static int shm_lock(sqlite3_file* f, int at, int n, int flags) {
    return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
  }
  static void barrier(sqlite3_file* f) { real_of(f)->pMethods->xShmBarrier(real_of(f)); }
  static int unmap(sqlite3_file* f, int also_remove) {
    return real_of(f)->pMethods->xShmUnmap(real_of(f), also_remove);
  }

  static inline faulty_disk* now_ = nullptr;
  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
  int countdown_ = 0, more_ = 0;
  bool failed_ = false;
};

#include "tests/crash/recorded_disk.hpp"

#include "runtime/base/random.hpp"
#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

namespace fs = std::filesystem;

// -- the files a power cut leaves ------------------------------------------------------------------------------------------------

const char* recorded_disk::name_of(kind what) {
  static constexpr const char* names[] = {"create", "write",    "truncate", "fsync",       "mkdir",
                                          "rename", "exchange", "unlink",   "fsync folder"};
  return names[static_cast<int>(what)];
}

void recorded_disk::take_in(const fs::path& folder, std::uint64_t at) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    if (name.ends_with("-shm")) continue;
    const auto id = ++last_node_;
    before_[at].names[name] = id;
    before_[id].is_folder = entry.is_directory();
    if (entry.is_directory()) {
      take_in(entry.path(), id);
    } else {
      std::ostringstream bytes;
      bytes << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      before_[id].content = bytes.str();
    }
  }
}

void recorded_disk::rename_in(tree& all, std::uint64_t from, const std::string& name, std::uint64_t to,
                              const std::string& to_name, bool exchange) {
  auto &source = all[from].names, &target = all[to].names;
  const auto moved = source.find(name);
  if (moved == source.end()) return; // its creation was lost
  const auto id = moved->second;
  const auto there = target.find(to_name);
  if (exchange && there != target.end()) {
    moved->second = there->second;
    there->second = id;
    return;
  }
  source.erase(moved);
  target[to_name] = id;
}

void recorded_disk::write_out(const tree& all, const std::map<std::uint64_t, std::string>& contents,
                              std::uint64_t at, const fs::path& folder) {
  fs::create_directories(folder);
  for (const auto& [name, id] : all.at(at).names) {
    if (all.at(id).is_folder) {
      write_out(all, contents, id, folder / name);
      continue;
    }
    const auto content = contents.find(id);
    std::ofstream(folder / name, std::ios::binary)
        << (content == contents.end() ? all.at(id).content : content->second);
  }
}

void recorded_disk::after_power_cut(std::size_t n, luck how, std::uint64_t seed,
                                    const fs::path& folder) const {
  troupe::random_stream random(seed);
  std::map<std::uint64_t, std::size_t> file_synced, folder_synced; // the last sync of each
  std::size_t newest_name = 0; // the last change of a name that is surely there
  for (std::size_t i = 0; i < n; ++i) {
    if (log_[i].what == kind::sync) file_synced[log_[i].node] = i;
    if (log_[i].what == kind::sync_folder) folder_synced[log_[i].node] = newest_name = i;
  }
  const auto synced = [](const auto& in, std::uint64_t id, std::size_t i) {
    const auto at = in.find(id);
    return at != in.end() && i < at->second;
  };
  const auto names_until = how == luck::all    ? n
                           : how == luck::none ? 0
                                               : newest_name + random.below(n - newest_name + 1);
  tree all = before_;
  std::map<std::uint64_t, std::string> contents;
  for (std::size_t i = 0; i < n; ++i) {
    const auto& o = log_[i];
    const bool named = i < names_until || synced(folder_synced, o.folder, i);
    const bool written =
        how == luck::all || synced(file_synced, o.node, i) || (how == luck::torn && random.chance(0.5));
    const auto content = [&]() -> std::string& {
      return contents.try_emplace(o.node, all[o.node].content).first->second;
    };
    switch (o.what) {
    case kind::create:
    case kind::make_folder:
      all[o.node].is_folder = o.what == kind::make_folder;
      if (named) all[o.folder].names[o.name] = o.node;
      break;
    case kind::write: {
      if (!written) break;
      auto size = o.bytes.size();
      if (how == luck::torn && !synced(file_synced, o.node, i) && random.chance(0.5))
        size = random.below(size / 512 + 1) * 512; // whole sectors
      auto& bytes = content();
      bytes.resize(std::max<std::size_t>(bytes.size(), o.at + size));
      std::copy_n(o.bytes.begin(), size, bytes.begin() + static_cast<std::ptrdiff_t>(o.at));
      break;
    }
    case kind::truncate:
      if (written) content().resize(o.at);
      break;
    case kind::rename:
    case kind::exchange:
      if (named) rename_in(all, o.folder, o.name, o.to_folder, o.to, o.what == kind::exchange);
      break;
    case kind::remove:
      if (named) all[o.folder].names.erase(o.name);
      break;
    case kind::sync:
    case kind::sync_folder: break;
    }
  }
  write_out(all, contents, 1, folder);
}

// -- what the program does -------------------------------------------------------------------------------------------------------

std::string recorded_disk::relative(const std::string& path) const {
  return path.size() > root_.size() + 1 ? path.substr(root_.size() + 1) : ".";
}

bool recorded_disk::find(const std::string& path, place& out) const {
  const auto clean = fs::absolute(path).lexically_normal().string();
  if (clean == root_) {
    out = {0, 1, ""};
    return true;
  }
  if (!clean.starts_with(root_ + "/")) return false;
  const fs::path rest(clean.substr(root_.size() + 1));
  out = {1, 1, ""};
  for (const auto& part : rest) {
    if (part.empty()) continue;
    if (out.node == 0) return false;
    out.folder = out.node;
    out.name = part.string();
    const auto& names = now_.at(out.folder).names;
    const auto it = names.find(out.name);
    out.node = it == names.end() ? 0 : it->second;
  }
  return !out.name.ends_with("-shm");
}

int recorded_disk::refuses() {
  ++attempts_;
  if (countdown_ == 0 || --countdown_ > 0) return 0;
  ++failures_;
  if (more_ > 0) --more_, countdown_ = 1;
  return code_;
}

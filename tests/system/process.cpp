#include "tests/system/process.hpp"

#include "runtime/base/file.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <stdexcept>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

extern char** environ;

namespace troupe::tests {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {
fs::path binary() { return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "troupe"; }
int counter = 0;
} // namespace

process process::troupe(std::vector<std::string> arguments, const fs::path& folder,
                        std::vector<std::string> environment) {
  process out;
  const auto name = "process-" + std::to_string(++counter);
  out.out_ = folder / (name + ".out");
  out.err_ = folder / (name + ".err");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, out.err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
  ::posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  const auto program = binary().string();
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  std::vector<char*> env;
  for (auto& e : environment) env.push_back(e.data());
  for (char** e = environ; *e; ++e) env.push_back(*e);
  env.push_back(nullptr);
  const int failed = ::posix_spawn(&out.pid_, program.c_str(), &actions, nullptr, argv.data(), env.data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed) throw std::runtime_error("cannot start " + program + ": " + std::strerror(failed));
  return out;
}

process::process(process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      code_(other.code_),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)) {}

process::~process() {
  if (pid_ < 0 || !running()) return;
  signal(SIGKILL);
  wait(10s);
}

void process::signal(int number) const {
  if (pid_ > 0 && code_ < 0) ::kill(pid_, number);
}

bool process::running() { return wait(0ms) < 0; }

int process::wait(std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (code_ < 0) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      break;
    }
    if (std::chrono::steady_clock::now() >= end) return -1;
    std::this_thread::sleep_for(10ms);
  }
  return code_;
}

bool process::says(const std::string& text, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const bool over = !running();
    if (out().find(text) != std::string::npos || err().find(text) != std::string::npos) return true;
    if (over || std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(20ms);
  }
}

std::string process::out() const { return read_file(out_).value_or(""); }
std::string process::err() const { return read_file(err_).value_or(""); }

scratch::scratch() {
  auto pattern = (fs::temp_directory_path() / "troupe-system-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) throw std::runtime_error("cannot make a scratch folder");
  path_ = pattern;
}

scratch::~scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path quickstart_config() { return fs::path(TROUPE_SOURCE_DIR) / "configs" / "quickstart.yaml"; }

std::vector<std::string> small_run(std::vector<std::string> more) {
  std::vector<std::string> out = {"train",
                                  quickstart_config().string(),
                                  "--progress",
                                  "json",
                                  "run.name=small",
                                  "model.hidden_size=48",
                                  "model.layers=2",
                                  "model.heads=2",
                                  "model.kv_heads=2",
                                  "model.head_dim=24",
                                  "model.ffn_size=96",
                                  "model.vocab_size=512",
                                  "warmup.steps=40",
                                  "warmup.cache=false",
                                  "rl.steps=6",
                                  "rl.groups_per_step=4",
                                  "rl.group_size=4",
                                  "eval.questions=12",
                                  "eval.samples=1",
                                  "eval.every=3",
                                  "eval.curve_questions=8",
                                  "data.train_questions=200",
                                  "data.heldout_questions=40"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::vector<json::object> json_lines(const std::string& text) {
  std::vector<json::object> out;
  std::size_t at = 0;
  for (std::size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    if (auto v = json::parse(std::string_view(text).substr(at, end - at)); v && v->is_object())
      out.push_back(std::move(v->get_object()));
  return out;
}

json::object printed_object(std::vector<std::string> arguments, const std::filesystem::path& folder, int code,
                            std::chrono::milliseconds patience) {
  auto ask = process::troupe(std::move(arguments), folder);
  EXPECT_EQ(ask.wait(patience), code) << ask.out() << ask.err();
  auto parsed = json::parse(ask.out());
  EXPECT_TRUE(parsed && parsed->is_object()) << ask.out() << ask.err();
  return parsed && parsed->is_object() ? parsed->get_object() : json::object{};
}

fs::path oracle_python() {
  const auto env = [](const char* name) {
    const char* it = std::getenv(name);
    return std::string(it ? it : "");
  };
  const auto cache = !env("TROUPE_CACHE").empty()     ? env("TROUPE_CACHE")
                     : !env("XDG_CACHE_HOME").empty() ? env("XDG_CACHE_HOME") + "/troupe"
                                                      : env("HOME") + "/.cache/troupe";
  return fs::path(cache) / "oracles" / "bin" / "python";
}

double number(const json::object& from, std::string_view key) {
  const auto* v = from.if_contains(key);
  return v && v->is_number() ? v->to_number<double>() : -1;
}

} // namespace troupe::tests

#include "cli/session.hpp"

#include "actors/tree.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sys/ioctl.h>
#include <unistd.h>

namespace troupe::cli {

namespace {

std::atomic<int> signals{0};
std::atomic<const char*> farewell{nullptr};

void on_signal(int) {
  if (++signals < 2) return;
  // Async-signal-safe only: give the terminal back and go. What is durable stays durable.
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, restore_terminal.data(), restore_terminal.size());
  const char* text = farewell;
  n = ::write(STDERR_FILENO, text, std::strlen(text));
  ::_exit(130);
}

} // namespace

void install_signals(const char* last_words) {
  farewell = last_words;
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

int signals_seen() { return signals; }

live_view_options view_options(const std::string& progress, const std::string& run) {
  live_view_options out;
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  out.mode = progress == "json"                 ? progress_mode::json
             : progress == "terminal"           ? progress_mode::terminal
             : progress == "lines" || !terminal ? progress_mode::lines
                                                : progress_mode::terminal;
  const char* no_color = std::getenv("NO_COLOR");
  out.color = terminal && !(no_color && *no_color);
  out.run = run;
  out.width = [] {
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? int{size.ws_col} : 80;
  };
  return out;
}

void session::push(const json::object& record) {
  std::scoped_lock lock(mutex_);
  records_.push_back(record);
  wake_.notify_one();
}

void session::drain() {
  std::deque<json::object> some;
  {
    std::scoped_lock lock(mutex_);
    some.swap(records_);
  }
  for (const auto& record : some) {
    view_.feed(record);
    if (events_) (void)events_->feed(record); // TensorBoard's copy: the durable one is in the store
  }
  view_.tick();
}

expected<void> session::run(const std::shared_ptr<run_context>& ctx) {
  ctx->on_record = [this](const json::object& record) { push(record); };
  ctx->on_end = [this](std::optional<error> why) {
    std::scoped_lock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    why_ = std::move(why);
    wake_.notify_one();
  };
  node_options options;
  options.stop_deadline = std::chrono::seconds(3);
  options.kill_deadline = std::chrono::seconds(1);
  auto started = node::start(options);
  if (!started) return fail(started.error());
  auto& node = **started;
  ctx->threads = node::threads();
  if (ctx->faults) set_message_faults(node.system(), ctx->faults);
  node.supervise(tree_options(ctx), tree_children(ctx));

  bool stopping = false;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::milliseconds(100), [this] { return ended_ || !records_.empty(); });
      if (ended_ && records_.empty()) break;
    }
    drain();
    if (!stopping && signals_seen() > 0) {
      stopping = true;
      push({{"kind", "message"},
            {"level", "info"},
            {"text", "stopping: what is committed stays; press Ctrl-C again to end at once"}});
      if (auto asked = node.ask<done>(ctx->names->find(names::experiment), stop_run{"interrupted"},
                                      std::chrono::seconds(1));
          !asked)
        ctx->on_end(error{errc::cancelled, "interrupted"});
    }
    if (auto over = node.root_ended(std::chrono::seconds(0))) // the tree gave up
      ctx->on_end(error{errc::exhausted, "the supervision tree gave up: " + over->message});
  }
  if (auto sheet =
          node.ask<balance>(ctx->names->find(names::replay), balance_request{}, std::chrono::seconds(1)))
    balance_ = *sheet;
  set_message_faults(node.system(), nullptr);
  auto stop = node.stop();
  drain();
  if (!stop) {
    view_.feed({{"kind", "message"},
                {"level", "warning"},
                {"text", "some actors did not end in time: " + stop.error().message}});
    (void)started->release(); // NODE-3: its destructor would wait; the process is about to end
  }
  if (why_) return fail(*why_);
  return {};
}

} // namespace troupe::cli

#include "runtime/system.hpp"

#include <pthread.h>

#include "caf/io/all.hpp"
#include "runtime/coarse_timers.hpp"
#include "runtime/process_id.hpp"
#include <thread>

namespace troupe {

namespace {
constexpr std::size_t messages_a_turn = 100;
}

/// CAF names one thread and every later one inherits that; a name of its own shows what is whose in a profile. Actors with a
/// thread of their own take theirs (thread_policy::name_own).
class name_threads final : public caf::thread_hook {
public:
  void init(caf::actor_system&) override {}
  void thread_started() override { ::pthread_setname_np(::pthread_self(), "actors"); }
  void thread_terminates() override {}
};

struct node::config : caf::actor_system_config, with_coarse_timers {
  config(const node_options& options, std::size_t threads) {
    add_thread_hook<name_threads>();
    set("scheduler.policy", caf::atom("sharing")); // 'stealing' walks a whole list per steal
    set("scheduler.max-threads", threads);
    set("scheduler.max-throughput",
        messages_a_turn); // the default is unlimited: busy actors starve the others
    wire_types_of<caf::id_block::troupe_runtime>()(*this);
    for (auto add : options.wire_types) add(*this);
    if (!options.network) return;
    load<caf::io::middleman>();
    set("middleman.workers", std::size_t{0}); // deserialize in the broker: fewer thread hops
    set("middleman.heartbeat-interval", caf::timespan{std::chrono::seconds(1)});
    set("middleman.connection-timeout",
        caf::timespan{std::chrono::seconds(10)}); // longer than any one message takes
    set("middleman.app-identifiers",
        std::vector<std::string>{"troupe/1"}); // rejects strangers and other versions
  }
  coarse_timers& timers() const override { return timers_; }

private:
  mutable coarse_timers timers_;
};

struct node::root_state {
  std::mutex mutex;
  std::condition_variable changed;
  actor_ref root, watcher; ///< an actor that nobody holds would end
  std::optional<error> reason;
};

namespace {

/// Tells the main thread that the root has ended.
struct root_watcher {
  static constexpr const char* name = "root watcher";
  root_watcher(self_ptr self, actor_ref root, std::function<void(error)> tell)
      : self_(self), root_(std::move(root)), tell_(std::move(tell)) {}
  behavior make_behavior() {
    self_->set_down_handler([this](caf::down_msg& down) {
      const bool normal = !down.reason || down.reason == caf::exit_reason::normal;
      tell_(normal ? error{errc::internal, "normal"} : from_caf(down.reason));
      self_->quit();
    });
    self_->monitor(root_);
    return {[](done) {}};
  }
  self_ptr self_;
  actor_ref root_;
  std::function<void(error)> tell_;
};

} // namespace

expected<std::unique_ptr<node>> node::start(node_options options) {
  if (options.threads == 0) options.threads = std::max(1u, std::thread::hardware_concurrency());
  random_process_id();
  std::unique_ptr<node> it(new node(std::move(options)));
  const auto& scheduler = it->system_->scheduler();
  const auto policy = caf::get_if<caf::atom_value>(it->config_.get(), "scheduler.policy");
  if (scheduler.num_workers() != it->options_.threads || scheduler.max_throughput() != messages_a_turn ||
      !policy || *policy != caf::atom("sharing")) // NODE-1
    return fail(errc::invalid, "the actor system ignored a setting: it has " +
                                   std::to_string(scheduler.num_workers()) + " threads, expected " +
                                   std::to_string(it->options_.threads));
  return it;
}

node::node(node_options options)
    : options_(std::move(options)),
      config_(std::make_unique<config>(options_, options_.threads)),
      system_(std::make_unique<caf::actor_system>(*config_)),
      root_(std::make_shared<root_state>()) {}

node::~node() {
  if (!stopped_ && stop()) return;
  if (stopped_ && !system_) return;
  system_.release(); // NODE-3: CAF's destructor would wait for ever
  config_.release();
}

actor_ref node::supervise(supervisor_options options, std::vector<child_spec> children) {
  auto root = spawn_supervisor(*system_, std::move(options), std::move(children));
  std::function<void(error)> tell = [state = root_](error why) {
    std::scoped_lock lock(state->mutex);
    state->reason = std::move(why);
    state->changed.notify_all();
  };
  auto watcher = spawn_state<root_watcher>(*system_, root, std::move(tell));
  std::scoped_lock lock(root_->mutex);
  root_->root = root;
  root_->watcher = std::move(watcher);
  return root;
}

std::optional<error> node::root_ended(duration patience) {
  std::unique_lock lock(root_->mutex);
  root_->changed.wait_for(lock, patience, [&] { return root_->reason.has_value(); });
  return root_->reason;
}

expected<void> node::stop() {
  if (std::exchange(stopped_, true)) {
    if (system_) return fail(errc::timeout, "the actor system did not stop before");
    return {};
  }
  actor_ref root;
  {
    std::scoped_lock lock(root_->mutex);
    if (!root_->reason) root = root_->root;
    root_->root = nullptr;
  }
  if (root) {
    tell(root, stop_all{});
    if (!root_ended(options_.stop_deadline))
      kill(root); // its destructor kills its children, and theirs kill theirs
    root = nullptr;
  }
  root_->watcher = nullptr;
  if (!idle_within(options_.kill_deadline)) {
    std::string left;
    for (auto& [name, n] : living_actors())
      left += (left.empty() ? "" : ", ") + name + " x" + std::to_string(n);
    return fail(errc::timeout, std::to_string(system_->registry().running()) +
                                   " actors still run: " + (left.empty() ? "none of Troupe's" : left));
  }
  config_->timers().stop();
  system_.reset();
  return {};
}

bool node::idle_within(duration patience) { // NODE-2
  const auto end = std::chrono::steady_clock::now() + patience;
  while (system_->registry().running() > 0) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

} // namespace troupe

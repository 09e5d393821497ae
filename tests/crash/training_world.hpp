#pragma once

#include "actors/ledger.hpp"
#include "actors/tree.hpp"
#include "runtime/simulation.hpp"
#include "sim/context.hpp"

namespace troupe::fakes {

/// A whole simulated run without faults of its own, whose store and checkpoints somebody else brings.
class training_world {
public:
  struct options {
    std::string mode = "async";
    int eta = 2, steps = 4, group_size = 3;
    std::function<void(run_context&)> change; ///< brings store and checkpoints
  };

  training_world(std::uint64_t seed, const options& wanted) : simulated(seed), opts(wanted) {
    sim::drawn_world drawn;
    drawn.mode = wanted.mode;
    drawn.eta = wanted.eta;
    drawn.steps = wanted.steps;
    drawn.group_size = wanted.group_size;
    auto run = sim::simulated_context(drawn, simulated.time(), simulated.threads());
    run->on_end = [this](std::optional<error> why) {
      ended = true;
      end_reason = why ? to_string(*why) : "";
    };
    wanted.change(*run);
    ctx = run;
    auto tree = tree_options(ctx);
    tree.crash_loop.lives = 0;
    tree.intensity = 100000; // here many deaths are the point; escalation has its own tests
    tree.time = &simulated.time();
    simulated.own(spawn_supervisor(simulated.system(), tree, tree_children(ctx)));
  }

  /// Runs until the experiment has ended, or for so much virtual time.
  bool run(duration most = std::chrono::minutes(60)) {
    for (duration spent{0}; !ended && spent < most; spent += std::chrono::seconds(1))
      simulated.run_for(std::chrono::seconds(1));
    return ended;
  }

  /// The books, folded from what is durable.
  ledger books() {
    return *fold_ledger(records("admission"), records("consumption"), records("retirement"),
                        records("rollback"));
  }
  std::vector<record> records(const std::string& kind) {
    return *(*ctx->parts.open_store())->read_kind(kind);
  }

  /// Where a run that does not end has got to.
  std::string diagnose() {
    const auto book = books();
    std::string out =
        "steps " + std::to_string(book.steps) + ", admitted " + std::to_string(book.admitted) + ", open:";
    for (auto g : book.open_groups) out += " " + std::to_string(g);
    return out + ", board: version " + std::to_string(ctx->board->current().version) + "\n";
  }

  simulation simulated;
  options opts;
  context_ptr ctx;
  bool ended = false;
  std::string end_reason;
};

} // namespace troupe::fakes

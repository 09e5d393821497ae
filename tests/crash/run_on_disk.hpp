#pragma once

#include "tests/crash/recorded_disk.hpp"
#include "tests/crash/training_world.hpp"
#include <set>

namespace troupe::fakes {

/// A whole training run (the real actors under virtual time, a policy without tensors) whose store and checkpoints are real files.
class run_on_disk {
public:
  struct options {
    int steps = 4, checkpoint_every = 1;
    recorded_disk* disk = nullptr;
  };
  /// What had been promised when the disk's log was so long: records, and the step of the newest checkpoint.
  struct acknowledged {
    std::size_t operations = 0, records = 0;
    std::optional<std::uint64_t> checkpoint = {};
  };

  run_on_disk(const std::filesystem::path& folder, const options& how)
      : folder_(folder), world(1, world_options(how)) {}

  bool run() { return world.run(std::chrono::minutes(30)); }

  std::vector<acknowledged> history;

private:
  /// Notes what the run has been promised.
  class noting_store final : public event_store {
  public:
    noting_store(std::unique_ptr<event_store> it, run_on_disk& of, const recorded_disk* disk)
        : it_(std::move(it)), of_(of), disk_(disk) {}
    append_result append(append_request records) override {
      return std::move(append_group({&records, 1}).front());
    }
    std::vector<append_result> append_group(std::span<const append_request> requests) override {
      auto results = it_->append_group(requests);
      auto now = of_.promised();
      for (const auto& result : results)
        if (result)
          for (const auto& one : *result) now.records = std::max<std::size_t>(now.records, one.seq);
      of_.note(now, disk_);
      return results;
    }
    expected<std::vector<record>> read_stream(const std::string& stream) override {
      return it_->read_stream(stream);
    }
    expected<std::vector<record>> read_kind(const std::string& kind, std::uint64_t after,
                                            std::size_t most) override {
      return it_->read_kind(kind, after, most);
    }
    expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() override {
      return it_->count_kinds();
    }

    expected<store_position> position(std::uint64_t seq) override { return it_->position(seq); }

  private:
    std::unique_ptr<event_store> it_;
    run_on_disk& of_;
    const recorded_disk* disk_;
  };

  training_world::options world_options(const options& how) {
    training_world::options out{.mode = "async", .eta = 0, .steps = how.steps};
    out.change = [this, how](run_context& run) {
      auto& m = run.config.model;
      m.hidden_size = m.ffn_size = 4;
      m.layers = m.heads = m.kv_heads = 1;
      m.head_dim = 4;
      run.config.checkpoint.every = how.checkpoint_every;
      run.folder = folder_;
      use_files(run, how);
    };
    return out;
  }

  /// The policy's two numbers stand in a real model's tensors, so that the checkpoint is a real one.
  void use_files(run_context& run, const options& how) {
    constexpr auto carrier = "model.norm.weight";
    const auto shape = run.config.model_shape(run.rules.words->vocab_size());
    auto& p = run.parts;
    p.open_store = [this, how, time = run.time]() -> expected<std::unique_ptr<event_store>> {
      auto opened = event_store::open(folder_ / "run.db", *time);
      if (!opened) return opened;
      return std::make_unique<noting_store>(std::move(*opened), *this, how.disk);
    };
    p.save_checkpoint = [this, shape, disk = how.disk](checkpoint what) -> expected<void> {
      auto real = initial_weights(shape, 1);
      real.tensors.at(carrier).data[0] = what.weights.tensors.at("state").data[0];
      real.tensors.at(carrier).data[1] = what.weights.tensors.at("warm_up").data[0];
      if (what.optimizer) what.optimizer->tensors = {{"moment", what.weights.tensors.at("state")}};
      what.weights = std::move(real);
      if (auto saved = save_checkpoint(folder_ / "checkpoints", what); !saved) return fail(saved.error());
      auto now = promised();
      now.checkpoint = what.step;
      note(now, disk);
      return prune_checkpoints(folder_ / "checkpoints", 2);
    };
    p.load_checkpoint = [this]() -> expected<checkpoint> {
      auto what = load_latest_checkpoint(folder_ / "checkpoints");
      if (!what) return what;
      const auto numbers = what->weights.tensors.at(carrier).data;
      what->weights.tensors = {{"state", {{1}, {numbers[0]}}}, {"warm_up", {{1}, {numbers[1]}}}};
      return what;
    };
  }
  acknowledged promised() const { return history.empty() ? acknowledged{} : history.back(); }
  void note(acknowledged what, const recorded_disk* disk) {
    if (disk) what.operations = disk->log().size();
    history.push_back(what);
  }

  std::filesystem::path folder_;

public:
  training_world world; ///< last: its actors use the rest
};

} // namespace troupe::fakes

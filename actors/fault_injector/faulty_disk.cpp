#include "actors/fault_injector/faulty_disk.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "runtime/base/file.hpp"
#include "runtime/log.hpp"

#include <algorithm>
#include <fstream>

namespace troupe {

namespace {

namespace fs = std::filesystem;
using weak_context = std::weak_ptr<const run_context>;

error refusal(const fault_strike& strike, const std::string& what) {
  const bool full = strike.rule.what == fault_kind::enospc;
  return {full ? errc::disk_full : errc::io, "cannot write " + what + ": " +
                                                 (full ? "no space left on device" : "input/output error") +
                                                 " (injected)"};
}

/// A store whose N-th append fails.
class faulty_store final : public event_store {
public:
  faulty_store(std::unique_ptr<event_store> it, weak_context ctx)
      : it_(std::move(it)), ctx_(std::move(ctx)) {}

  append_result append(append_request records) override {
    return std::move(append_group({&records, 1}).front());
  }
  std::vector<append_result> append_group(std::span<const append_request> requests) override {
    const auto run = ctx_.lock();
    const auto struck = run ? run->faults->reach("store", "write", names::store) : std::nullopt;
    if (!struck) {
      auto out = it_->append_group(requests);
      const auto fine = [](const append_result& one) {
        return one.has_value() || one.error().code == errc::conflict;
      };
      if (run && failing_ && std::all_of(out.begin(), out.end(), fine)) {
        failing_ = false;
        note_effect(*run, fault_effect::kind::recovered, names::store);
      }
      return out;
    }
    failing_ = true;
    if (run->faults->draw(*struck) & 1) (void)it_->append_group(requests); // DISK-1
    return std::vector<append_result>(requests.size(), fail(refusal(*struck, "the store")));
  }
  expected<std::vector<record>> read_stream(const std::string& stream) override {
    return it_->read_stream(stream);
  }
  expected<std::vector<record>> read_kind(const std::string& kind, std::uint64_t after_seq,
                                          std::size_t most) override {
    return it_->read_kind(kind, after_seq, most);
  }
  expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() override {
    return it_->count_kinds();
  }
  expected<store_position> position(std::uint64_t seq) override { return it_->position(seq); }
  void last_life() override { it_->last_life(); }
  duration busy() const override { return it_->busy(); }

private:
  std::unique_ptr<event_store> it_;
  weak_context ctx_;
  bool failing_ = false;
};

expected<void> save_under_faults(const run_context& run,
                                 const std::function<expected<void>(const checkpoint&)>& save,
                                 const checkpoint& what, bool& failing) {
  const auto struck = run.faults->reach("learner", "checkpoint", names::learner);
  const bool refused =
      struck && (struck->rule.what == fault_kind::enospc || struck->rule.what == fault_kind::eio);
  if (refused) {
    failing = true;
    if (run.faults->draw(*struck) & 1) (void)save(what); // DISK-1
    return fail(refusal(*struck, "checkpoint " + std::to_string(what.step)));
  }
  auto saved = save(what);
  if (saved && std::exchange(failing, false)) note_effect(run, fault_effect::kind::recovered, names::learner);
  if (!saved || !struck || run.folder.empty()) return saved;
  const auto file = run.folder / "checkpoints" / ("step-" + std::to_string(what.step)) / "model.safetensors";
  return damage_file(file, struck->rule.what, run.faults->draw(*struck)); // DISK-2
}

} // namespace

expected<void> damage_file(const fs::path& file, fault_kind how, std::uint64_t draw) {
  std::error_code failed;
  const auto size = fs::file_size(file, failed);
  if (failed || size == 0) return fail(errc::io, "cannot damage " + file.string() + ": " + failed.message());
  const auto at = draw % size;
  if (how == fault_kind::truncate) {
    fs::resize_file(file, at, failed);
    if (failed) return fail(errc::io, "cannot truncate " + file.string() + ": " + failed.message());
    return {};
  }
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekg(static_cast<std::streamoff>(at));
  const int old = bytes.get();
  bytes.seekp(static_cast<std::streamoff>(at));
  bytes.put(static_cast<char>(old ^ (1 << (draw >> 56) % 8)));
  if (!bytes.flush()) return fail(errc::io, "cannot flip a bit of " + file.string());
  return {};
}

void add_disk_faults(const std::shared_ptr<run_context>& ctx) {
  const weak_context weak = ctx;
  auto& parts = ctx->parts;
  parts.open_store = [open = parts.open_store, weak]() -> expected<std::unique_ptr<event_store>> {
    auto it = open();
    if (!it) return it;
    return std::make_unique<faulty_store>(std::move(*it), weak);
  };
  parts.save_checkpoint = [save = parts.save_checkpoint, weak, failing = std::make_shared<bool>(false)](
                              const checkpoint& what) -> expected<void> {
    const auto run = weak.lock();
    return run ? save_under_faults(*run, save, what, *failing) : save(what);
  };
  parts.on_damaged_checkpoint = [weak](const error& why) {
    log_event("checkpoint_damaged", {{"reason", why.message}}, log_level::warning);
    if (const auto run = weak.lock()) note_effect(*run, fault_effect::kind::detected, names::learner);
  };
}

} // namespace troupe

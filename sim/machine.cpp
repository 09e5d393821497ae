#include "sim/machine.hpp"

namespace troupe::sim {

namespace {
tl::unexpected<error> dark() { return fail(errc::io, "the power is off"); }
tl::unexpected<error> no_space() { return fail(errc::disk_full, "no space is left (simulated)"); }
} // namespace

class machine::powered_store final : public event_store {
public:
  powered_store(machine& on, std::shared_ptr<bool> power, std::unique_ptr<event_store> disk)
      : machine_(on), power_(std::move(power)), disk_(std::move(disk)) {}

  append_result append(append_request records) override {
    return std::move(append_group({&records, 1}).front());
  }
  std::vector<append_result> append_group(std::span<const append_request> requests) override {
    if (!*power_) return std::vector<append_result>(requests.size(), dark());
    if (machine_.full_now()) {
      if (machine_.random_.chance(0.5)) append_now(requests); // done, but not acknowledged
      return std::vector<append_result>(requests.size(), no_space());
    }
    return append_now(requests);
  }
  expected<std::vector<record>> read_stream(const std::string& stream) override {
    if (!*power_) return dark();
    return disk_->read_stream(stream);
  }
  expected<std::vector<record>> read_kind(const std::string& kind, std::uint64_t after_seq,
                                          std::size_t most) override {
    if (!*power_) return dark();
    return disk_->read_kind(kind, after_seq, most);
  }
  expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() override {
    if (!*power_) return dark();
    return disk_->count_kinds();
  }
  expected<store_position> position(std::uint64_t seq) override {
    if (!*power_) return dark();
    return disk_->position(seq);
  }

private:
  std::vector<append_result> append_now(std::span<const append_request> requests) {
    auto out = disk_->append_group(requests);
    if (machine_.heard_)
      for (std::size_t i = 0; i < out.size(); ++i)
        for (std::size_t j = 0; out[i] && j < out[i]->size(); ++j)
          if ((*out[i])[j].fresh) machine_.heard_(requests[i][j]);
    return out;
  }

  machine& machine_;
  std::shared_ptr<bool> power_;
  std::unique_ptr<event_store> disk_;
};

machine::machine(std::uint64_t seed, disk_faults faults, int keep)
    : random_(derive_seed(seed, "machine")),
      faults_(faults),
      keep_(static_cast<std::size_t>(keep)),
      disk_(memory_store(time_)) {}

void machine::power_on(const clock& time) {
  time_.to = &time;
  power_ = std::make_shared<bool>(true);
}

void machine::shut_down() { *power_ = false; }

void machine::lose_power() {
  shut_down();
  if (checkpoints_.empty() || !random_.chance(faults_.damage_chance)) return;
  checkpoints_.pop_back(); // it does not verify: who looks for the newest good one passes it over
  ++damaged_;
}

bool machine::full_now() {
  const bool is = faults_.full_chance > 0 && random_.chance(faults_.full_chance);
  full_ += is;
  return is;
}

store_opener machine::store() {
  return [this, power = power_]() -> expected<std::unique_ptr<event_store>> {
    if (!*power) return dark();
    auto opened = disk_();
    if (!opened) return opened;
    return std::make_unique<powered_store>(*this, power, std::move(*opened));
  };
}

std::function<expected<void>(const checkpoint&)> machine::save() {
  return [this, power = power_](const checkpoint& what) -> expected<void> {
    if (!*power) return dark();
    if (full_now()) return no_space();
    std::erase_if(checkpoints_, [&](const checkpoint& c) { return c.step >= what.step; });
    checkpoints_.push_back(what);
    if (checkpoints_.size() > keep_) checkpoints_.erase(checkpoints_.begin());
    if (cut_ && random_.chance(faults_.cut_chance)) cut_();
    return {};
  };
}

std::function<expected<checkpoint>()> machine::load() const {
  return [this, power = power_]() -> expected<checkpoint> {
    if (!*power) return dark();
    if (checkpoints_.empty()) return fail(errc::not_found, "no checkpoint");
    return checkpoints_.back();
  };
}

std::uint64_t machine::contents() {
  auto disk = disk_();
  const auto at = *(*disk)->position();
  return (at.seq << 32) | at.chain;
}

std::function<expected<void>(const checkpoint&)> machine::save_part() {
  return [this, power = power_](const checkpoint& what) -> expected<void> {
    if (!*power) return dark();
    if (full_now()) return no_space();
    parts_.push_back(what);
    if (cut_ && random_.chance(faults_.cut_chance)) cut_();
    return {};
  };
}

std::function<expected<checkpoint>()> machine::load_part() const {
  return [this, power = power_]() -> expected<checkpoint> {
    if (!*power) return dark();
    if (parts_.empty()) return fail(errc::not_found, "no checkpoint of the warm-up");
    return parts_.back();
  };
}

std::function<void()> machine::drop_parts() {
  return [this, power = power_] {
    if (*power) parts_.clear();
  };
}

std::vector<record> machine::read(const std::string& kind) {
  auto disk = disk_();
  return *(*disk)->read_kind(kind);
}

} // namespace troupe::sim

#pragma once

#include "gpu/checkpoint.hpp"
#include "runtime/base/random.hpp"
#include "runtime/store.hpp"

namespace troupe::sim {

/// What a simulated disk may do. Chances are per write.
struct disk_faults {
  double full_chance = 0;   ///< the write fails with disk_full; half of those have happened all the same
  double cut_chance = 0;    ///< per checkpoint: the power goes right behind it
  double damage_chance = 0; ///< per power cut: the newest checkpoint does not verify any more
};

/// What a power cut leaves: the disk, with the store and the checkpoints. Each time the power comes back is a life of its own; what
/// an earlier life still does after its end has no effect.
///   MACHINE-1  What was acknowledged is there after a power cut.
class machine {
public:
  machine(std::uint64_t seed, disk_faults faults, int keep);

  // -- power
  void power_on(const clock& time); ///< `time` must live until the next power_on, or to the end
  void shut_down();                 ///< the end of a life
  void lose_power();                ///< the same, without warning: it may spoil what was written last
  bool on() const { return *power_; }
  /// Called when a fault of the disk wants the power to go.
  void on_cut(std::function<void()> cut) { cut_ = std::move(cut); }
  /// Hears of every record that becomes durable, the first time.
  void on_record(std::function<void(const new_record&)> heard) { heard_ = std::move(heard); }
  void quiet() { faults_ = {}; } ///< no more faults

  // -- what the life that is on now uses
  store_opener store();
  std::function<expected<void>(const checkpoint&)> save();
  std::function<expected<checkpoint>()> load() const;
  std::function<expected<void>(const checkpoint&)> save_part();
  std::function<expected<checkpoint>()> load_part() const;
  std::function<void()> drop_parts();

  // -- what is on the disk
  std::vector<record> read(const std::string& kind);
  std::uint64_t contents(); ///< a checksum of the store's whole log
  const std::vector<checkpoint>& checkpoints() const { return checkpoints_; }
  std::size_t full() const { return full_; }       ///< writes that failed for want of space
  std::size_t damaged() const { return damaged_; } ///< checkpoints that a power cut spoiled

private:
  class powered_store;
  class forwarding_clock final : public clock {
  public:
    duration now() const override { return to->now(); }
    duration wall() const override { return to->wall(); }
    const clock* to = nullptr;
  };
  bool full_now();

  random_stream random_;
  disk_faults faults_;
  std::size_t keep_;
  forwarding_clock time_;
  store_opener disk_;
  std::shared_ptr<bool> power_ = std::make_shared<bool>(false);
  std::function<void()> cut_;
  std::function<void(const new_record&)> heard_;
  std::vector<checkpoint> checkpoints_; ///< oldest first
  std::vector<checkpoint> parts_;       ///< of the warm-up
  std::size_t full_ = 0, damaged_ = 0;
};

} // namespace troupe::sim

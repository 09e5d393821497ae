#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/json.hpp"
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace troupe {

/// One TFRecord: u64 length, u32 masked CRC-32C of it, the bytes, u32 masked CRC-32C of them; all
/// little-endian.
std::string tf_record(std::string_view bytes);

/// Writes the scalars of a run for TensorBoard, beside metrics.jsonl: an append-only file of TFRecords, each
/// of which holds a protobuf `Event`. A new writer makes a new file, so that a resumed run adds to the old
/// one; TensorBoard reads both and takes the later value of a step.
class event_writer {
public:
  /// Makes `folder`/events.out.tfevents.SECONDS.HOST.PID.N and writes its first event. Errors: disk_full, io.
  static expected<event_writer> create(const std::filesystem::path& folder,
                                       const clock& time = system_clock());
  event_writer(event_writer&& other) noexcept;
  event_writer& operator=(event_writer&& other) noexcept;
  ~event_writer();

  /// Writes at once (one write call, no buffer). Errors: disk_full, io.
  expected<void> scalar(std::string_view tag, double value, std::int64_t step);
  /// Every number of a metric record: "rl/reward_mean" of steps, "warmup/loss", "heldout/pass_at_1" and
  /// "heldout/pass_at_1_2_hops" of evaluations at temperature 1, "heldout_greedy/..." of greedy ones. Others
  /// are ignored.
  expected<void> feed(const json::object& record);

  const std::filesystem::path& file() const { return file_; }

private:
  event_writer(int descriptor, std::filesystem::path file, const clock& time)
      : descriptor_(descriptor), file_(std::move(file)), time_(&time) {}
  expected<void> write(std::string_view bytes);
  int descriptor_ = -1;
  std::filesystem::path file_;
  const clock* time_;
};

} // namespace troupe

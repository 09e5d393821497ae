#include "cli/tensorboard.hpp"

#include "cli/report_values.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/hash.hpp"
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <fcntl.h>
#include <unistd.h>

namespace troupe {

namespace {

using namespace values;

template <class T>
void put_little(std::string& out, T value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xFF);
}

/// TFRecord's mask, so that a CRC over bytes that hold a CRC stays good (tsl/lib/hash/crc32c.h).
std::uint32_t masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u; }

// -- protobuf wire format: a key is (field number << 3) | type; types 0 varint, 1 64 bits, 2 bytes, 5 32 bits
void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}

/// Event: 1 double wall_time, 2 int64 step, 3 string file_version, 5 Summary summary
/// (tensorflow/core/util/event.proto).
std::string event(double wall_time, std::int64_t step) {
  std::string out;
  put_varint(out, 1 << 3 | 1);
  put_little(out, std::bit_cast<std::uint64_t>(wall_time), 8);
  put_varint(out, 2 << 3 | 0);
  put_varint(out, static_cast<std::uint64_t>(step));
  return out;
}

/// Summary: 1 repeated Value value; Value: 1 string tag, 2 float simple_value.
std::string summary(std::string_view tag, double value) {
  std::string inner, out;
  put_bytes(inner, 1, tag);
  put_varint(inner, 2 << 3 | 5);
  put_little(inner, std::bit_cast<std::uint32_t>(static_cast<float>(value)), 4);
  put_bytes(out, 1, inner);
  return out;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  std::string out(name.data());
  for (char& c : out)
    if (c == '/' || c == '\0') c = '_';
  return out.empty() ? "localhost" : out;
}

} // namespace

std::string tf_record(std::string_view bytes) {
  std::string out;
  put_little(out, static_cast<std::uint64_t>(bytes.size()), 8);
  put_little(out, masked(crc32c(out)), 4);
  out += bytes;
  put_little(out, masked(crc32c(bytes)), 4);
  return out;
}

expected<event_writer> event_writer::create(const std::filesystem::path& folder, const clock& time) {
  const auto since_epoch = std::chrono::duration_cast<std::chrono::seconds>(time.wall()).count();
  const std::string start = "events.out.tfevents." + std::to_string(since_epoch) + "." + host_name() + "." +
                            std::to_string(::getpid()) + ".";
  for (int n = 0;; ++n) {
    auto file = folder / (start + std::to_string(n));
    const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (descriptor < 0 && errno == EEXIST) continue;
    if (descriptor < 0) return fail(system_error("cannot create", file));
    event_writer out(descriptor, std::move(file), time);
    std::string first = event(seconds(time.wall()), 0);
    put_bytes(first, 3, "brain.Event:2");
    if (auto ok = out.write(tf_record(first)); !ok) return fail(ok.error());
    return out;
  }
}

event_writer::event_writer(event_writer&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), file_(std::move(other.file_)), time_(other.time_) {}

event_writer& event_writer::operator=(event_writer&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(file_, other.file_);
  std::swap(time_, other.time_);
  return *this;
}

event_writer::~event_writer() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

expected<void> event_writer::write(std::string_view bytes) {
  // A record is all or nothing: what a full disk left of one would hide all later ones from readers.
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      auto why = system_error("cannot write", file_);
      if (before >= 0 && ::ftruncate(descriptor_, before) != 0)
        why.message += " (and cannot take back a part of a record)";
      return fail(std::move(why));
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

expected<void> event_writer::scalar(std::string_view tag, double value, std::int64_t step) {
  std::string it = event(seconds(time_->wall()), step);
  put_bytes(it, 5, summary(tag, value));
  return write(tf_record(it));
}

expected<void> event_writer::feed(const json::object& record) {
  const auto kind = text(record, "kind");
  const double at = number(record, "step");
  std::string group = kind == "step"     ? "rl/"
                      : kind == "warmup" ? "warmup/"
                      : kind == "eval"   ? "heldout/"
                                         : "";
  if (group.empty() || !std::isfinite(at)) return {};
  if (kind == "eval" && text(record, "sampling") == "greedy") group = "heldout_greedy/";
  const auto step = static_cast<std::int64_t>(at);
  std::string all; // the whole record at once: one write
  const auto add = [&](std::string_view tag, double value) {
    std::string it = event(seconds(time_->wall()), step);
    put_bytes(it, 5, summary(group + std::string(tag), value));
    all += tf_record(it);
  };
  for (const auto& field : record) {
    const std::string_view key = field.key();
    if (key == "step" || key == "steps" || key == "eta_seconds" || key == "questions") continue;
    if (field.value().is_number()) add(key, field.value().to_number<double>());
  }
  if (const auto* hops = object(record, "by_hops"))
    for (const auto& field : *hops)
      if (const auto* of = field.value().if_object(); of && std::isfinite(number(*of, "pass_at_1")))
        add("pass_at_1_" + std::string(field.key()) + (field.key() == "1" ? "_hop" : "_hops"),
            number(*of, "pass_at_1"));
  return all.empty() ? expected<void>{} : write(all);
}

} // namespace troupe

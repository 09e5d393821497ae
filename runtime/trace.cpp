#include "runtime/trace.hpp"

#include "runtime/base/file.hpp"
#include "runtime/log.hpp"
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <unistd.h>

namespace troupe {

std::atomic<bool> detail::tracing{false};

namespace {

constexpr std::size_t buffer_bytes = 64 << 10;

struct writer {
  std::mutex guard;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{nullptr, &std::fclose};
  duration zero{};
  std::string buffer;
  std::map<std::string, int, std::less<>> tracks;

  int track(std::string_view name) {
    if (auto known = tracks.find(name); known != tracks.end()) return known->second;
    const int id = static_cast<int>(tracks.size()) + 1;
    tracks.emplace(name, id);
    add({{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", id}, {"args", {{"name", name}}}});
    return id;
  }
  void add(const json::object& event) {
    buffer += json::dump(event) + ",\n";
    if (buffer.size() >= buffer_bytes) flush();
  }
  void flush() {
    const bool fine = !file || (std::fwrite(buffer.data(), 1, buffer.size(), file.get()) == buffer.size() &&
                                std::fflush(file.get()) == 0);
    buffer.clear();
    if (fine) return;
    detail::tracing = false;
    file.reset();
    log_event("trace_stopped", {{"reason", "its file could not be written"}}, log_level::warning);
  }
};

writer& it() {
  static auto* one = new writer; // never destroyed: other threads may trace while the process ends
  return *one;
}

double microseconds(duration d) { return static_cast<double>(d.count()) / 1000.0; }

} // namespace

expected<void> start_trace(const std::filesystem::path& file, const clock& time) {
  stop_trace();
  auto& w = it();
  std::scoped_lock lock(w.guard);
  w.file.reset(std::fopen(file.c_str(), "we"));
  if (!w.file) return fail(system_error("cannot write the trace", file));
  w.zero = time.now();
  w.tracks.clear();
  w.buffer = "[\n";
  detail::tracing = true;
  return {};
}

void stop_trace() {
  auto& w = it();
  std::scoped_lock lock(w.guard);
  if (!detail::tracing.exchange(false)) return;
  w.buffer += R"({"name":"end","ph":"i","s":"g","ts":0,"pid":1,"tid":0}])"
              "\n";
  w.flush();
  w.file.reset();
}

void trace_span(std::string_view track, std::string_view name, duration begin, duration end,
                json::object details) noexcept try {
  if (!tracing()) return;
  auto& w = it();
  std::scoped_lock lock(w.guard);
  const int id = w.track(track);
  w.add({{"name", name},
         {"ph", "X"},
         {"ts", microseconds(begin - w.zero)},
         {"dur", microseconds(end - begin)},
         {"pid", 1},
         {"tid", id},
         {"args", std::move(details)}});
} catch (...) { // out of memory: a trace is not worth an actor's life
}

void trace_event(std::string_view track, std::string_view name, duration at, json::object details) noexcept
    try {
  if (!tracing()) return;
  auto& w = it();
  std::scoped_lock lock(w.guard);
  const int id = w.track(track);
  w.add({{"name", name},
         {"ph", "i"},
         {"s", "t"},
         {"ts", microseconds(at - w.zero)},
         {"pid", 1},
         {"tid", id},
         {"args", std::move(details)}});
} catch (...) { // as above
}

} // namespace troupe

#include "runtime/log.hpp"

#include "runtime/base/file.hpp"
#include <atomic>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace troupe {

namespace {

std::atomic<std::uint64_t> lost{0};

/// Where lines go. Replaced as a whole, so that a call in another thread keeps the one it began with.
struct destination {
  log_options options;
  std::shared_ptr<spdlog::logger> file, terminal;
};

std::shared_ptr<spdlog::logger> logger_of(std::shared_ptr<spdlog::sinks::sink> sink) {
  auto out = std::make_shared<spdlog::logger>("troupe", std::move(sink));
  out->set_pattern("%v");
  out->set_level(spdlog::level::trace);
  out->flush_on(spdlog::level::trace);
  out->set_error_handler([](const std::string&) { ++lost; });
  return out;
}

std::shared_ptr<destination> initial() {
  return std::make_shared<destination>(
      destination{{}, nullptr, logger_of(std::make_shared<spdlog::sinks::stderr_sink_mt>())});
}

struct holder {
  std::mutex guard;
  std::shared_ptr<destination> now = initial();
  std::shared_ptr<destination> get() {
    std::scoped_lock lock(guard);
    return now;
  }
  void set(std::shared_ptr<destination> next) {
    std::scoped_lock lock(guard);
    now.swap(next);
  }
};
holder& current() {
  static auto* it = new holder; // never destroyed: other threads may log while the process ends
  return *it;
}

/// JSON has no infinity; Boost would write a number that only it reads back.
void make_finite(json::value& v) {
  if (auto* number = v.if_double(); number && !std::isfinite(*number))
    v = std::isnan(*number) ? "NaN" : *number > 0 ? "Infinity" : "-Infinity";
  else if (auto* object = v.if_object())
    for (auto& field : *object) make_finite(field.value());
  else if (auto* array = v.if_array())
    for (auto& item : *array) make_finite(item);
}

/// One line for a person: "warning: child_restarted child=engine restarts=3".
std::string plain(log_level level, std::string_view name, const json::object& fields) {
  std::string out = std::string(to_string(level)) + ": " + std::string(name);
  for (auto& field : fields) {
    if (field.key() == "time" || field.key() == "level" || field.key() == "event") continue;
    const auto* text = field.value().if_string();
    const bool bare = text && text->find_first_of(" \n\t\"\x1b") == text->npos;
    out += " " + std::string(field.key()) + "=" +
           (bare ? std::string(text->c_str()) : json::dump(field.value()));
  }
  return out;
}

} // namespace

std::string_view to_string(log_level level) {
  switch (level) {
  case log_level::debug: return "debug";
  case log_level::info: return "info";
  case log_level::warning: return "warning";
  case log_level::error: return "error";
  }
  return "error";
}

std::string utc_text(duration wall) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(wall).count();
  const auto second = static_cast<std::time_t>(ms >= 0 ? ms / 1000 : (ms - 999) / 1000);
  std::tm parts{};
  ::gmtime_r(&second, &parts);
  char text[64];
  const auto n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + n, sizeof text - n, ".%03dZ",
                static_cast<int>(ms - static_cast<std::int64_t>(second) * 1000));
  return text;
}

expected<void> open_log(log_options options) {
  auto next = initial();
  if (!options.file.empty()) {
    if (std::FILE* probe = std::fopen(options.file.c_str(), "a"))
      std::fclose(probe);
    else
      return fail(system_error("cannot open the log",
                               options.file)); // spdlog would throw, without the cause as a value
    try {
      next->file = logger_of(std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file.string()));
    } catch (const std::exception& e) {
      return fail(errc::io, std::string("cannot open the log: ") + e.what());
    }
  }
  next->options = std::move(options);
  current().set(std::move(next));
  return {};
}

void close_log() { current().set(initial()); }

std::uint64_t lost_log_lines() { return lost; }

void log_event(std::string_view name, log_details details, log_level level) noexcept {
  try {
    const auto to = current().get();
    const bool loud = level >= log_level::warning;
    if (level < to->options.level || (!loud && !to->file)) return;
    const clock& time = to->options.time ? *to->options.time : system_clock();
    json::object line{{"time", utc_text(time.wall())}, {"level", to_string(level)}, {"event", name}};
    for (auto& [key, value] : details) {
      json::value kept = value;
      make_finite(kept);
      line[line.contains(key) ? std::string(key) + "_" : std::string(key)] = std::move(kept);
    }
    if (to->file) to->file->info("{}", json::dump(line));
    if (!loud) return;
    const auto text = plain(level, name, line);
    if (to->options.on_warning)
      to->options.on_warning(text);
    else
      to->terminal->info("{}", text);
  } catch (...) {
    ++lost;
  }
}

} // namespace troupe

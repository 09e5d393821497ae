#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
} // namespace prometheus

namespace troupe {

using metric_labels = std::map<std::string, std::string>;

/// A handle to one time series; cheap to copy, thread-safe, valid as long as its registry. A default-made one
/// does nothing.
class metric_counter {
public:
  void add(double n = 1) const; ///< n >= 0
  double value() const;

private:
  friend class metrics_registry;
  prometheus::Counter* it_ = nullptr;
};
class metric_gauge {
public:
  void set(double value) const;
  void add(double n) const;
  double value() const;

private:
  friend class metrics_registry;
  prometheus::Gauge* it_ = nullptr;
};
class metric_histogram {
public:
  void observe(double value) const;

private:
  friend class metrics_registry;
  prometheus::Histogram* it_ = nullptr;
};

/// The metrics of a process, in Prometheus' terms.
///   METRIC-1  The same name and labels are the same series, whoever asks.
///   METRIC-2  `text` passes `promtool check metrics`: names begin with troupe_, counters (and only they) end
///   with _total, times
///             are _seconds and sizes _bytes, every family has a help text. A name that breaks this throws
///             std::invalid_argument: a programmer's error. The one exception is the prefix vllm: of a server's figures,
///             whose dashboards have that name; the colon is all that promtool says of it.
/// Thread-safe.
class metrics_registry {
public:
  metrics_registry();
  ~metrics_registry();
  metrics_registry(const metrics_registry&) = delete;

  metric_counter counter(const std::string& name, const std::string& help, const metric_labels& labels = {});
  metric_gauge gauge(const std::string& name, const std::string& help, const metric_labels& labels = {});
  /// `bounds`: the upper bounds of its buckets, rising; the one of +Inf is added.
  metric_histogram histogram(const std::string& name, const std::string& help,
                             const metric_labels& labels = {},
                             const std::vector<double>& bounds = latency_bounds());

  /// 100 us to 100 s, three per decade.
  static const std::vector<double>& latency_bounds();

  /// The text exposition format, with the process's own figures (process_resident_memory_bytes, ...). Served
  /// at /metrics as `content_type`.
  std::string text() const;
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace troupe

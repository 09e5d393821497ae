#include "runtime/metrics.hpp"

#include "runtime/base/file.hpp"
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <stdexcept>
#include <unistd.h>

namespace troupe {

// -- handles

void metric_counter::add(double n) const {
  if (it_) it_->Increment(n);
}
double metric_counter::value() const { return it_ ? it_->Value() : 0; }
void metric_gauge::set(double value) const {
  if (it_) it_->Set(value);
}
void metric_gauge::add(double n) const {
  if (it_) it_->Increment(n);
}
double metric_gauge::value() const { return it_ ? it_->Value() : 0; }
void metric_histogram::observe(double value) const {
  if (it_) it_->Observe(value);
}

// -- names

namespace {

void check_name(const std::string& name, const std::string& help, bool is_counter,
                const metric_labels& labels) {
  const auto wrong = [&](const std::string& why) {
    throw std::invalid_argument("metric " + name + ": " + why);
  };
  constexpr std::string_view vllm = "vllm:";
  if (!name.starts_with("troupe_") && !name.starts_with(vllm))
    wrong("expected a name that begins with troupe_");
  for (char c : std::string_view(name).substr(name.starts_with(vllm) ? vllm.size() : 0))
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_') wrong("expected lower_case_words");
  if (is_counter != name.ends_with("_total"))
    wrong("expected _total at the end of a counter, and only there");
  for (auto bad : {"_milliseconds", "_ms", "_minutes", "_kilobytes", "_megabytes", "_percent"})
    if (name.ends_with(bad) || name.ends_with(bad + std::string("_total")))
      wrong("expected base units: seconds, bytes, ratios");
  if (help.empty()) wrong("expected a help text");
  for (auto& [key, value] : labels)
    if (key.empty() || key == "le" || key.starts_with("__"))
      wrong("found the reserved label \"" + key + "\"");
}

/// prometheus-cpp escapes label values but not help texts.
std::string escaped(const std::string& help) {
  std::string out;
  for (char c : help) out += c == '\\' ? "\\\\" : c == '\n' ? "\\n" : std::string(1, c);
  return out;
}

/// What the kernel says of this process (proc(5)), under the names that Prometheus clients share.
struct process_figures {
  double resident = 0, cpu = 0, threads = 0, descriptors = 0;
};

process_figures read_process() {
  process_figures out;
  const auto text = read_file("/proc/self/stat", 1 << 16);
  if (!text) return out;
  std::vector<double> fields; // those behind the name in parentheses, which may hold anything
  const char* at = text->c_str() + std::min(text->rfind(')'), text->size() - 1) + 2;
  for (std::size_t i = 0; i < 22 && *at; ++i) {
    char* end = nullptr;
    fields.push_back(std::strtod(at, &end));
    at = end == at ? at + 1 : end;
    while (*at == ' ') ++at;
  }
  if (fields.size() < 22) return out;
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  out.cpu = (fields[11] + fields[12]) / ticks;
  out.threads = fields[17];
  out.resident = fields[21] * static_cast<double>(::sysconf(_SC_PAGESIZE));
  std::error_code ignored;
  for (std::filesystem::directory_iterator it("/proc/self/fd", ignored), end; !ignored && it != end;
       it.increment(ignored))
    ++out.descriptors;
  return out;
}

prometheus::MetricFamily family(const char* name, const char* help, prometheus::MetricType type,
                                double value) {
  prometheus::ClientMetric metric;
  if (type == prometheus::MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  return {name, help, type, {metric}};
}

} // namespace

// -- the registry

struct metrics_registry::state {
  std::mutex guard; ///< prometheus-cpp throws if two families of one name are built at once
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
};

metrics_registry::metrics_registry() : state_(std::make_unique<state>()) {}
metrics_registry::~metrics_registry() = default;

metric_counter metrics_registry::counter(const std::string& name, const std::string& help,
                                         const metric_labels& labels) {
  check_name(name, help, true, labels);
  std::scoped_lock lock(state_->guard);
  metric_counter out;
  out.it_ = &prometheus::BuildCounter().Name(name).Help(escaped(help)).Register(state_->registry).Add(labels);
  return out;
}

metric_gauge metrics_registry::gauge(const std::string& name, const std::string& help,
                                     const metric_labels& labels) {
  check_name(name, help, false, labels);
  std::scoped_lock lock(state_->guard);
  metric_gauge out;
  out.it_ = &prometheus::BuildGauge().Name(name).Help(escaped(help)).Register(state_->registry).Add(labels);
  return out;
}

metric_histogram metrics_registry::histogram(const std::string& name, const std::string& help,
                                             const metric_labels& labels, const std::vector<double>& bounds) {
  check_name(name, help, false, labels);
  std::scoped_lock lock(state_->guard);
  metric_histogram out;
  out.it_ = &prometheus::BuildHistogram()
                 .Name(name)
                 .Help(escaped(help))
                 .Register(state_->registry)
                 .Add(labels, bounds);
  return out;
}

const std::vector<double>& metrics_registry::latency_bounds() {
  static const std::vector<double> bounds = {1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1,
                                             0.2,  0.5,  1,    2,    5,    10,   20,   50,   100};
  return bounds;
}

std::string metrics_registry::text() const {
  using prometheus::MetricType;
  auto families = state_->registry.Collect();
  const auto process = read_process();
  families.push_back(
      family("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge, process.resident));
  families.push_back(
      family("process_cpu_seconds_total", "User and system CPU time.", MetricType::Counter, process.cpu));
  families.push_back(family("process_threads", "Threads.", MetricType::Gauge, process.threads));
  families.push_back(
      family("process_open_fds", "Open file descriptors.", MetricType::Gauge, process.descriptors));
  return prometheus::TextSerializer().Serialize(families);
}

} // namespace troupe

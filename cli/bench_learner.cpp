#include "cli/bench_learner.hpp"

#include "actors/run_config.hpp"
#include "cli/run_report.hpp"
#include "cli/tables.hpp"
#include "gpu/files/gguf_model.hpp"
#include "gpu/files/hf_model.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sys/resource.h>
#include <unistd.h>

namespace troupe::cli {

namespace {

namespace fs = std::filesystem;

std::string fixed(double x, int digits) {
  if (std::isnan(x)) return "–";
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, x);
  return text;
}

expected<model_weights> smollm2(const run_config& config) {
  const char* given = std::getenv("TROUPE_SMOLLM2");
  const fs::path place = !config.model.path.empty() ? config.model.path : given ? given : "";
  if (!place.empty()) {
    if (fs::is_directory(place)) return load_hf_model(place);
    auto read = load_gguf_model(place);
    if (!read) return fail(read.error());
    return std::move(read->weights);
  }
  std::cout
      << "no model.path and no $TROUPE_SMOLLM2: weights are made from scratch in SmolLM2-135M's shape\n";
  model_config c;
  c.vocab_size = 49152, c.hidden_size = 576, c.num_hidden_layers = 30, c.num_attention_heads = 9;
  c.num_key_value_heads = 3, c.head_dim = 64, c.intermediate_size = 1536, c.max_position_embeddings = 8192;
  c.rope_theta = 100000;
  return initial_weights(c, 1);
}

/// Samples of these lengths, every token with a loss.
std::vector<sft_sample> samples(const model_config& config, const std::vector<std::size_t>& lengths) {
  random_stream random(3);
  std::vector<sft_sample> out;
  for (auto n : lengths) {
    auto& s = out.emplace_back();
    for (std::size_t i = 0; i < n; ++i)
      s.tokens.push_back(static_cast<token>(random.below(static_cast<std::uint64_t>(config.vocab_size))));
    s.weights.assign(n, 1.f);
  }
  return out;
}

struct timing {
  double seconds = std::nan(""), cpu = std::nan(""), loss = std::nan(""), peak_mib = std::nan("");
};

double cpu_now() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// PyTorch's loop, in a process of its own: one step to warm up, then `steps`.
expected<timing> torch_steps(const fs::path& model, const run_config& config,
                             const std::vector<sft_sample>& batch, int steps, const fs::path& scratch) {
  json::array lists;
  for (const auto& s : batch) lists.push_back(json::array(s.tokens.begin(), s.tokens.end()));
  json::object ask{{"samples", std::move(lists)}, {"rows", 4}, {"steps", 1}};
  auto text = json::dump(ask) + "\n";
  ask["steps"] = steps;
  text += json::dump(ask) + "\n";
  if (auto ok = write_file_atomically(scratch / "ask.jsonl", text); !ok) return fail(ok.error());
  const auto command = "tests/oracles/venv.sh python tests/oracles/learner_speed.py '" + model.string() +
                       "' " + std::to_string(config.learner.threads) + " " + config.learner.compute + " < '" +
                       (scratch / "ask.jsonl").string() + "' 2> '" + (scratch / "errors").string() + "'";
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return fail(errc::io, "a shell cannot be started");
  std::string said;
  char piece[4096];
  while (const auto n = std::fread(piece, 1, sizeof piece, pipe)) said.append(piece, n);
  const int status = pclose(pipe);
  const auto first = said.find('\n');
  const auto warm = json::parse(std::string_view(said).substr(0, first));
  const auto last = first == said.npos ? warm : json::parse(std::string_view(said).substr(first + 1));
  if (status != 0 || !warm || !last || !last->is_object()) {
    auto why = read_file(scratch / "errors").value_or("");
    if (why.size() > 300) why = "..." + why.substr(why.size() - 300);
    return fail(errc::unavailable, "the PyTorch loop ended with " + std::to_string(status) + ": " + why);
  }
  const auto number = [](const json::value& from, const char* key) {
    return json::number_at(from.get_object(), key).value_or(std::nan(""));
  };
  return timing{number(*last, "seconds"), number(*last, "cpu_seconds"), number(*warm, "loss"),
                number(*last, "peak_mib")};
}

/// Why there is nothing to compare with; empty: there is.
std::string missing_peer() {
  const char* cache = std::getenv("TROUPE_CACHE");
  const char* home = std::getenv("HOME");
  const fs::path place =
      (cache ? fs::path(cache) : fs::path(home ? home : ".") / ".cache" / "troupe") / "oracles";
  if (!fs::exists("tests/oracles/learner_speed.py"))
    return "this is no checkout of Troupe (tests/oracles is missing)";
  if (!fs::exists(place / "bin" / "python"))
    return "the oracles' environment is not there: tests/oracles/venv.sh true makes it";
  if (std::system("tests/oracles/venv.sh python -c 'import torch, transformers' > /dev/null 2>&1") != 0)
    return "the oracles' environment has no torch: tests/oracles/venv.sh pip install torch==2.11.0";
  return {};
}

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x.empty() ? std::nan("") : x[x.size() / 2];
}

} // namespace

int bench_learner(const bench_arguments& arguments) {
  const auto config = load_config_text<run_config>("", arguments.overrides);
  if (!config) return complain(config.error());
  auto weights = smollm2(*config);
  if (!weights) return complain(weights.error());
  auto model = make_learner(*weights, config->learner_shape());
  if (!model) return complain(model.error());
  std::cout << cpu_name() << "; " << config->learner.threads << " threads, " << config->learner.compute
            << (config->learner.lora_rank > 0 ? ", adapters" : "")
            << (config->learner.recompute_layers ? ", layers computed again" : "") << "\n";

  const auto why_not = missing_peer();
  const auto scratch = fs::temp_directory_path() / ("troupe-bench-learner-" + std::to_string(getpid()));
  fs::create_directories(scratch);
  if (why_not.empty()) {
    if (auto saved = save_hf_model(scratch / "model", *weights); !saved) return complain(saved.error());
  } else {
    std::cout << "PyTorch's loop is skipped: " << why_not << "\n";
  }
  const auto shape = weights->config;
  weights = model_weights{}; // the peak is the learner's

  const std::pair<const char*, std::vector<std::size_t>> kinds[] = {
      {"equal lengths", std::vector<std::size_t>(8, 256)},
      {"mixed lengths", {61, 402, 97, 233, 511, 74, 160, 318, 45, 147}}};
  table_rows rows{{"batch", "tokens", "useful", "tokens/s", "PyTorch", "ratio", "CPU s/step", "PyTorch",
                   "ratio", "peak MiB", "PyTorch", "loss gap"}};
  for (const auto& [name, lengths] : kinds) {
    const auto batch = samples(shape, lengths);
    std::vector<double> seconds, cpu, their_seconds, their_cpu;
    double tokens = 0, useful = 0, loss = std::nan(""), gap = std::nan(""), their_peak = std::nan("");
    for (int round = 0; round < arguments.seeds; ++round) { // in turn: other load meets both
      const auto from = cpu_now();
      const auto stats = (*model)->sft_step(batch, 1e-5);
      if (!stats) return complain(stats.error());
      if (round > 0 || arguments.seeds == 1)
        seconds.push_back(stats->seconds), cpu.push_back(cpu_now() - from);
      tokens = static_cast<double>(stats->tokens);
      useful = tokens / static_cast<double>(stats->rows);
      if (round == 0) loss = stats->loss;
      if (!why_not.empty()) continue;
      const auto theirs = torch_steps(scratch / "model", *config, batch, 1, scratch);
      if (!theirs) return complain(theirs.error());
      their_seconds.push_back(theirs->seconds), their_cpu.push_back(theirs->cpu);
      their_peak = theirs->peak_mib;
      if (name == kinds[0].first) gap = std::abs(theirs->loss - loss); // both begin with the same weights
    }
    const double rate = tokens / median(seconds), theirs = tokens / median(their_seconds);
    rows.push_back({name, fixed(tokens, 0), fixed(100 * useful, 1) + " %", fixed(rate, 1), fixed(theirs, 1),
                    fixed(rate / theirs, 2), fixed(median(cpu), 2), fixed(median(their_cpu), 2),
                    fixed(median(their_cpu) / median(cpu), 2), fixed(peak_mib(), 0), fixed(their_peak, 0),
                    fixed(gap * 1e6, 1) + "e-6"});
  }
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  std::cout
      << render_table(rows)
      << "asked: useful at least 97 %, ratio at least 1.20 (float32). CPU time is of all threads; medians of "
      << std::max(1, arguments.seeds - 1) << " rounds in turn\n";
  return ok;
}

} // namespace troupe::cli

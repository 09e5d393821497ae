#include "cli/commands.hpp"
#include "cli/model_argument.hpp"
#include "cli/session.hpp"
#include "cli/terminal_text.hpp"

#include "actors/serving/serving_tree.hpp"
#include "gpu/engine_device.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/http.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>
#include <sys/resource.h>
#include <thread>

namespace troupe::cli {

namespace {

/// Bytes that are free where the engine computes; on the CPU what Linux could make free (proc(5)). 0: not known.
double free_memory(engine_device device) {
  if (device != engine_device::cpu) {
    const auto found = memory_of(device);
    return found ? static_cast<double>(found->free) : 0;
  }
  const auto text = read_file("/proc/meminfo", 1 << 16).value_or("");
  const auto at = text.find("MemAvailable:");
  return at == text.npos ? 0 : std::atof(text.c_str() + at + 13) * 1024;
}

/// Bytes of the weights where the engine computes: as it packs them on the CPU; on a device all in one type.
double weights_memory(const model_weights& weights, const engine_limits& limits) {
  double out = 0;
  for (const auto& [name, tensor] : weights.tensors) out += 4.0 * static_cast<double>(tensor.data.size());
  for (const auto& [name, tensor] : weights.stored) out += static_cast<double>(tensor.data.size());
  if (limits.device == engine_device::cpu) return out;
  return static_cast<double>(parameter_count(weights.config)) * (limits.mode == arithmetic::fast ? 2 : 4);
}

std::string gigabytes(double bytes) { return fixed(bytes / 1e9, 2) + " GB"; }

/// What the model and its cache will take, said before it is taken.
struct memory_plan {
  double weights = 0, kv_of_token = 0, free = 0;
  std::int64_t kv_tokens = 0;
  double all() const { return weights + kv_of_token * static_cast<double>(kv_tokens); }
  std::string text() const {
    return "weights " + gigabytes(weights) + " as the engine packs them, keys and values of " +
           grouped(static_cast<double>(kv_tokens)) + " tokens " + gigabytes(all() - weights) + ", " +
           gigabytes(free) + " are free";
  }
};

/// As much cache as all sequences could use, but not more than half of what is free. Errors: exhausted.
expected<memory_plan> plan_memory(const model_weights& weights, const serve_arguments& arguments,
                                  const engine_limits& limits, int max_model_len) {
  memory_plan out;
  out.weights = weights_memory(weights, limits);
  out.kv_of_token = static_cast<double>(kv_bytes(weights.config, limits, 1 << 16)) / (1 << 16);
  out.free = free_memory(limits.device);
  const auto wanted = std::int64_t{max_model_len} * arguments.max_num_seqs;
  const auto room = static_cast<std::int64_t>(out.free / 2 / out.kv_of_token) / 16 * 16;
  out.kv_tokens = arguments.kv_cache_tokens > 0 ? arguments.kv_cache_tokens
                  : out.free > 0                ? std::clamp<std::int64_t>(room, max_model_len, wanted)
                                                : max_model_len;
  if (out.free > 0 && out.all() > out.free * 0.95)
    return fail(errc::invalid, "not enough memory: " + out.text() +
                                   "; a smaller --max-model-len or --kv-cache-tokens takes less");
  return out;
}

/// Every open request holds a connection.
void allow_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int most_connections() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1 << 20;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
}

std::string key_of(const std::string& given, const char* variable) {
  if (!given.empty()) return given;
  const char* set = std::getenv(variable);
  return set ? set : "";
}

expected<serving::serving_ptr> prepare(const serve_arguments& arguments, engine_device device,
                                       language_model model) {
  auto ctx = std::make_shared<serving::serving_context>();
  const auto& shape = model.weights->config;
  auto& rules = ctx->rules;
  rules.max_model_len = arguments.max_model_len > 0 ? arguments.max_model_len : shape.max_position_embeddings;
  if (rules.max_model_len > shape.max_position_embeddings)
    return fail(errc::invalid, "--max-model-len: found " + std::to_string(rules.max_model_len) +
                                   ", the model takes " + std::to_string(shape.max_position_embeddings));
  ctx->limits.mode = arguments.mode == "fast" ? arithmetic::fast : arithmetic::exact;
  ctx->limits.device = device;
  auto plan = plan_memory(*model.weights, arguments, ctx->limits, rules.max_model_len);
  if (!plan) return fail(plan.error());
  std::cerr << "memory: " << plan->text() << '\n';
  rules.max_kv_tokens = plan->kv_tokens / 16 * 16; // whole blocks
  if (rules.max_kv_tokens < 32)
    return fail(errc::invalid,
                "--kv-cache-tokens: found " + std::to_string(plan->kv_tokens) + ", expected at least 32");
  rules.served_names = arguments.served_model_name;
  if (rules.served_names.empty()) rules.served_names = {model.name};
  rules.tools = serving::tools_of(model);
  if (arguments.tool_call_parser != "auto") rules.tools = *tool_family_by_name(arguments.tool_call_parser);

  auto& options = ctx->options;
  options.address = arguments.host;
  options.port = arguments.port;
  options.api_key = key_of(arguments.api_key, "TROUPE_API_KEY");
  options.admin_key = key_of(arguments.admin_key, "TROUPE_ADMIN_KEY");
  options.request_deadline =
      std::chrono::duration_cast<duration>(std::chrono::duration<double>(arguments.request_timeout));
  options.stream_limit = static_cast<std::size_t>(arguments.stream_buffer);
  options.max_queue = std::min(arguments.max_queue, std::max(1, most_connections() - 300));
  if (options.max_queue < arguments.max_queue)
    std::cerr << "note: this system allows " << most_connections() << " open files: at most "
              << options.max_queue << " requests are open at once\n";

  ctx->limits.max_sequences = arguments.max_num_seqs;
  ctx->limits.max_kv_tokens = rules.max_kv_tokens;
  ctx->limits.threads = arguments.threads > 0 ? arguments.threads : default_threads();
  ctx->limits.prefill_chunk = arguments.prefill_chunk;
  ctx->version = arguments.version;
  ctx->load = [](const std::filesystem::path& place) {
    auto read = load_model_argument(place);
    if (read)
      if (auto fine = check_weights(*read->weights); !fine)
        return expected<language_model>(fail(fine.error()));
    return read;
  };
  ctx->seed = arguments.seed >= 0 ? static_cast<std::uint64_t>(arguments.seed)
                                  : (std::uint64_t{std::random_device{}()} << 32) | std::random_device{}();

  auto run = std::make_shared<run_context>();
  run->time = &system_clock();
  run->config.rollout.journal_interval = 0; // who listens has the tokens
  run->threads = node::threads();
  run->parts.make_engine = [shape, limits = ctx->limits] { return make_engine(shape, limits); };
  run->board->publish(model.weights, 0);
  ctx->run = std::move(run);
  ctx->model = std::move(model);
  return ctx;
}

} // namespace

int serve(const serve_arguments& arguments) {
  allow_descriptors();
  // a wrong address or a taken port is said now, before a model is read
  if (auto tried = http::server::start(
          {.address = arguments.host, .port = static_cast<std::uint16_t>(arguments.port)}, {});
      !tried)
    return complain(tried.error());
  install_signals("\ntroupe: interrupted twice, ended at once\n");
  const auto device = resolve(*engine_device_by_name(arguments.device));
  if (!device) return complain(device.error());
  auto model = load_model_argument(arguments.model);
  if (!model) return complain(model.error());
  if (auto fine = check_weights(*model->weights); !fine)
    return complain({fine.error().code, arguments.model.string() + ": " + fine.error().message});
  auto prepared = prepare(arguments, *device, std::move(*model));
  if (!prepared) return complain(prepared.error());
  auto ctx = std::make_shared<serving::serving_context>(**prepared);
  ctx->on_listening = [name = ctx->rules.served_names.front()](const std::string& url) {
    std::cerr << "serving " << name << " at " << url << "/v1\n" << std::flush;
  };
  const serving::serving_ptr shared = ctx;

  node_options options;
  options.stop_deadline = std::chrono::seconds(8);
  options.kill_deadline = std::chrono::seconds(1);
  auto started = node::start(options);
  if (!started) return complain(started.error());
  auto& node = **started;
  node.supervise(serving::tree_options(shared), serving::tree_children(shared));
  std::optional<error> over;
  while (signals_seen() == 0 && !over) over = node.root_ended(std::chrono::milliseconds(100));
  if (!over) std::cerr << "stopping\n";
  if (auto stop = node.stop(); !stop) (void)started->release();
  if (over) return complain({over->code, "the server's parts gave up: " + over->message});
  return ok;
}

} // namespace troupe::cli

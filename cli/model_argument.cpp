#include "cli/model_argument.hpp"

#include "actors/run_model.hpp"
#include "cli/run_folder.hpp"

#include <sched.h>

namespace troupe::cli {

namespace fs = std::filesystem;

namespace {

/// gym/chat.hpp's format as a template: what a run's policy has seen.
constexpr const char* run_template =
    "{%- for m in messages -%}"
    "{%- if m.role == 'user' -%}{{ '<|user|>' + m.content + '<|end|>' }}"
    "{%- elif m.role == 'tool' -%}{{ '<|tool|>' + m.content + '<|end|>' }}"
    "{%- elif m.role == 'assistant' -%}{{ '<|assistant|>' + m.content + '<|end|>' }}"
    "{%- else -%}{{ raise_exception('a run\\'s policy knows the roles user, assistant and tool, found ' + "
    "m.role) }}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}";

expected<language_model> load_run(const run_folder& folder) {
  auto stored = load_latest_checkpoint(folder.path / "checkpoints");
  if (!stored) return fail(stored.error());
  const auto name = fs::weakly_canonical(folder.path).filename().string();
  if (fs::exists(folder.path / "data" /
                 "model.json")) { // it began with somebody's model, whose conversation it kept
    auto model = kept_run_model(folder.path / "data");
    if (!model) return model;
    model->name = name;
    model->weights = std::make_shared<const model_weights>(std::move(stored->weights));
    return model;
  }
  auto words = tokenizer::load(folder.path / "data" / "tokenizer.json");
  if (!words) return fail(words.error());
  auto end = words->special("<|end|>");
  if (!end) return fail(end.error());
  auto conversation = chat_template::compile(run_template);
  if (!conversation) return fail(conversation.error());
  language_model out;
  out.name = name;
  out.weights = std::make_shared<const model_weights>(std::move(stored->weights));
  out.words = std::make_shared<const tokenizer>(std::move(*words));
  out.conversation = std::move(*conversation);
  out.template_source = run_template;
  out.eos = "<|end|>";
  out.ends = {*end};
  for (const auto* marker : {"<tool_call>", "</tool_call>"})
    if (auto id = out.words->special(marker)) out.shown.push_back(*id);
  return out;
}

} // namespace

expected<language_model> load_model_argument(const fs::path& place) {
  const run_folder run{place};
  return run.exists() ? load_run(run) : load_language_model(place, tensor_form::as_stored);
}

expected<language_model> load_model_to_look_at(const fs::path& place) {
  const run_folder run{place};
  return run.exists() ? load_run(run) : load_model_files(place, tensor_form::as_stored);
}

expected<void> check_weights(const model_weights& weights) {
  auto engine = make_cpu_engine(weights.config, {.max_sequences = 1, .max_kv_tokens = 16});
  if (!engine) return fail(engine.error());
  try {
    (*engine)->set_weights(std::shared_ptr<const model_weights>(&weights, [](auto*) {}), 0,
                           kv_policy::recompute);
  } catch (const std::exception& wrong) {
    return fail(errc::invalid, wrong.what());
  }
  return {};
}

int default_threads() {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  return ::sched_getaffinity(0, sizeof mine, &mine) == 0 ? std::max(1, CPU_COUNT(&mine)) : 1;
}

} // namespace troupe::cli

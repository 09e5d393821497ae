#include "cli/bench_actors.hpp"
#include "cli/commands.hpp"
#include "cli/replay.hpp"
#include "runtime/base/heap.hpp"

#include <CLI/CLI.hpp>

using namespace troupe;

int main(int argc, char** argv) {
  bound_arenas();
  CLI::App app{
      "Troupe trains tool-using language models by reinforcement learning on a supervised actor system."};
  app.name("troupe");
  app.require_subcommand(1);
  app.set_version_flag("--version", TROUPE_VERSION);
  int code = 0;

  cli::train_arguments train;
  auto* verb =
      app.add_subcommand("train", "Run an experiment: warm-up, reinforcement learning, evaluation, report");
  verb->add_option("config", train.config, "The run's YAML file")->required();
  verb->add_option("overrides", train.overrides, "key=value, each beats the file");
  verb->add_flag("--resume", train.resume, "Go on with the newest unfinished run of this name");
  verb->add_option("--progress", train.progress, "auto, terminal, lines or json")
      ->check(CLI::IsMember({"auto", "terminal", "lines", "json"}));
  verb->callback([&] { code = cli::train(train); });

  cli::audit_arguments audit;
  verb = app.add_subcommand(
      "audit", "Verify a run's store and checkpoints, and whether every rollout is accounted for");
  verb->add_option("run", audit.run, "The run's folder")->required();
  verb->add_flag("--json", audit.json, "Print JSON");
  verb->callback([&] { code = cli::audit(audit); });

  cli::replay_arguments replay;
  verb = app.add_subcommand(
      "replay", "Compute a recorded run again, from its records, and name the first bit that differs");
  verb->add_option("run", replay.run, "The run's folder")->required();
  verb->add_option("--steps", replay.steps, "A..B: compare the rollouts of these steps; without it, of all");
  verb->add_option("--rollouts", replay.rollouts, "Compare at most so many rollouts of each step")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("--json", replay.json, "Print JSON");
  verb->callback([&] { code = cli::replay(replay); });

  cli::eval_arguments eval;
  verb = app.add_subcommand("eval", "Measure a run's newest checkpoint on held-out or other questions");
  verb->add_option("run", eval.run, "The run's folder")->required();
  verb->add_option("--tasks", eval.tasks, "JSONL of questions; without it, the run's held-out ones");
  verb->add_option("--questions", eval.questions, "At most so many questions (0: all)")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--samples", eval.samples, "Samples per question at temperature 1")
      ->check(CLI::Range(1, 64));
  verb->add_option("--progress", eval.progress, "auto, terminal, lines or json")
      ->check(CLI::IsMember({"auto", "terminal", "lines", "json"}));
  verb->add_flag("--json", eval.json, "Print the figures as JSON");
  verb->callback([&] { code = cli::eval(eval); });

  cli::inspect_arguments inspect;
  verb = app.add_subcommand("inspect", "List a run's rollouts, or show one as a transcript");
  verb->add_option("run", inspect.run, "The run's folder")->required();
  verb->add_option("rollout", inspect.rollout, "A rollout's id, for example t17.3");
  verb->add_option("--only", inspect.only, "train or eval")->check(CLI::IsMember({"train", "eval"}));
  verb->add_option("--limit", inspect.limit, "Rollouts in the list (0: all)")->check(CLI::NonNegativeNumber);
  verb->add_flag("--json", inspect.json, "Print JSON");
  verb->callback([&] { code = cli::inspect(inspect); });

  cli::report_arguments report;
  verb = app.add_subcommand("report", "Write a run's report.html and print its summary");
  verb->add_option("run", report.run, "The run's folder")->required();
  verb->add_option("--curve", report.curve, "Also write the held-out curve as an SVG picture to this file");
  verb->add_flag("--json", report.json, "Print the report as JSON");
  verb->callback([&] { code = cli::report(report); });

  cli::explain_arguments explain;
  verb = app.add_subcommand("faults", "Faults on purpose: what came of them; rules of a run in progress");
  verb->alias("fault");
  verb->require_subcommand(1);
  cli::fault_client_arguments rules;
  auto of_rules = [&](const char* name, const char* about) {
    auto* it = verb->add_subcommand(name, about);
    it->add_option("run", rules.run, "The run's folder")->required();
    return it;
  };
  auto* one_verb =
      of_rules("add", "Add rules to a run in progress (docs/faults.md), such as \"kill any every=2s\"");
  one_verb->add_option("rules", rules.rules, "Rules, each one argument")->required();
  one_verb->callback([&] { code = cli::fault_add(rules); });
  one_verb = of_rules("list", "The rules of a run in progress, and how often each struck");
  one_verb->add_flag("--json", rules.json, "Print JSON");
  one_verb->callback([&] { code = cli::fault_list(rules); });
  one_verb = of_rules("remove", "Remove rules by their numbers");
  one_verb->add_option("numbers", rules.rules, "Their numbers, from list")->required();
  one_verb->callback([&] { code = cli::fault_remove(rules); });
  cli::fault_report_arguments faults;
  auto* of_faults =
      verb->add_subcommand("report", "A table: detection, recovery, what became of the rollouts");
  of_faults->add_option("run", faults.run, "The run's folder")->required();
  of_faults->add_flag("--json", faults.json, "Print it as JSON");
  of_faults->callback([&] { code = cli::fault_report(faults); });

  verb = app.add_subcommand("config", "What can be configured");
  verb->require_subcommand(1);
  auto* inner = verb->add_subcommand("explain", "Every key with its meaning, unit, range and value");
  inner->add_option("key", explain.prefix, "A key or the start of one, for example rl.");
  inner->add_option("--config", explain.config, "Show the values of this file");
  inner->add_option("--set", explain.overrides, "key=value on top");
  inner->add_flag("--json", explain.json, "Print JSON");
  inner->add_flag("--markdown", explain.markdown, "Print the page docs/config.md");
  inner->callback([&] { code = cli::explain_config(explain); });

  cli::bench_arguments bench;
  cli::actor_bench_arguments actors;
  verb = app.add_subcommand("bench",
                            "Measure: quickstart, async, partial, soak, overhead, startup, learner, engine, "
                            "tokenizer, idle (rollouts), restart (of actors)");
  verb->add_option("name", bench.name, "Which")->required();
  verb->add_option("overrides", bench.overrides, "key=value for the runs");
  verb->add_option("--config", bench.config, "The runs' YAML file");
  verb->add_option("--folder", bench.folder, "Where the runs go");
  verb->add_option("--seeds", bench.seeds, "Runs to average")->check(CLI::Range(1, 100));
  verb->add_option("--steps", bench.steps, "RL steps of async, partial and soak")
      ->check(CLI::Range(1, 100000));
  verb->add_option("--minutes", bench.minutes, "soak: RL time of each of its two runs, instead of --steps")
      ->check(CLI::Range(0.1, 10000.0));
  verb->add_option("--latency", bench.latency, "async, partial: median time of a tool call, seconds")
      ->check(CLI::Range(0.0, 60.0));
  verb->add_option("--count", actors.count, "Rollouts of idle (100,000), kills of restart (10,000)")
      ->check(CLI::Range(1, 10'000'000));
  verb->add_option("--seed", actors.seed, "restart: which actors are killed");
  verb->callback([&] {
    actors.folder = bench.folder / bench.name;
    code = bench.name == "idle"      ? cli::bench_idle(actors)
           : bench.name == "restart" ? cli::bench_restart(actors)
                                     : cli::bench(bench);
  });

  cli::sim_arguments sim;
  verb =
      app.add_subcommand("sim", "Simulate whole runs with faults, by seed, in virtual time, and check them");
  verb->add_option("world", sim.world, "A world's name (configs/worlds/NAME.yaml)");
  verb->add_option("--seeds", sim.seeds, "A..B, both included");
  verb->add_option("--worlds", sim.worlds, "The folder of the worlds");
  verb->add_option("--threads", sim.threads, "Seeds that run at once")->check(CLI::Range(1, 256));
  verb->add_option("--plant", sim.plant, "Run with a bug on purpose (--list names them): it must be found");
  verb->add_flag("--list", sim.list, "Name the worlds and the checks");
  verb->add_flag("--trace", sim.trace, "Print every message: virtual time, actor, message");
  verb->add_flag("--json", sim.json, "Print JSON");
  verb->callback([&] { code = cli::sim(sim); });

  cli::generate_arguments generate;
  verb = app.add_subcommand("generate", "Stream the text that a model generates");
  verb->add_option("prompt", generate.prompt, "The text; - reads standard input")->required();
  verb->add_option("--model", generate.model,
                   "A folder of Hugging Face's transformers, a GGUF file, or a run's folder")
      ->required();
  verb->add_option("--system", generate.system, "The system message");
  verb->add_flag("--raw", generate.raw, "Plain text: no chat template");
  verb->add_option("--max-tokens", generate.max_tokens, "At most so many tokens")
      ->check(CLI::Range(1, 1 << 24));
  verb->add_option("--temperature", generate.temperature,
                   "0: the likeliest token each time; else the model's own, or 1")
      ->check(CLI::Range(0.0, 100.0));
  verb->add_option("--top-p", generate.top_p,
                   "Of the likeliest tokens, those that reach this chance together")
      ->check(CLI::Range(1e-9, 1.0));
  verb->add_option("--top-k", generate.top_k, "So many of the likeliest tokens (0: all)")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--min-p", generate.min_p, "Not below this share of the likeliest token's chance")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--repetition-penalty", generate.repetition_penalty,
                   "Above 1: tokens that were there are less likely")
      ->check(CLI::Range(0.01, 100.0));
  verb->add_option("--seed", generate.seed, "The same seed gives the same text")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--stop", generate.stop, "End before this text (may be given several times)")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--threads", generate.threads, "Threads that compute (0: one for each core)")
      ->check(CLI::Range(0, 256));
  verb->add_option(
          "--mode", generate.mode,
          "exact: float32 arithmetic, the same bits as in training; fast: quantised, on cuda bfloat16")
      ->check(CLI::IsMember({"exact", "fast"}));
  verb->add_option("--device", generate.device, "Where it computes; auto: cuda where there is one")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  verb->add_flag("--json", generate.json, "Print one JSON object at the end");
  verb->callback([&] { code = cli::generate(generate); });

  cli::serve_arguments serve;
  serve.version = TROUPE_VERSION;
  verb = app.add_subcommand("serve", "Serve a model by OpenAI's API, in vLLM's dialect (docs/serving.md)");
  verb->add_option("--model", serve.model,
                   "A folder of Hugging Face's transformers, a GGUF file, or a run's folder")
      ->required();
  verb->add_option("--host", serve.host, "The address to listen on");
  verb->add_option("--port", serve.port, "0: any free one")->check(CLI::Range(0, 65535));
  verb->add_option("--api-key", serve.api_key, "Requests must bring it; else $TROUPE_API_KEY");
  verb->add_option("--admin-key", serve.admin_key,
                   "For pause, resume and new weights; else $TROUPE_ADMIN_KEY");
  verb->add_option("--served-model-name", serve.served_model_name,
                   "The model's names in the API (the first is shown)");
  verb->add_option("--tool-call-parser", serve.tool_call_parser, "How the model writes calls of tools")
      ->check(CLI::IsMember({"auto", "none", "hermes", "llama3_json", "mistral"}));
  verb->add_option(
          "--mode", serve.mode,
          "exact: float32 arithmetic, the same bits as in training; fast: quantised, on cuda bfloat16")
      ->check(CLI::IsMember({"exact", "fast"}));
  verb->add_option("--device", serve.device, "Where it computes; auto: cuda where there is one")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  verb->add_option("--max-model-len", serve.max_model_len, "Tokens of prompt and answer (0: the model's)")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--max-num-seqs", serve.max_num_seqs, "Sequences that decode at once")
      ->check(CLI::Range(1, 4096));
  verb->add_option("--kv-cache-tokens", serve.kv_cache_tokens,
                   "Tokens whose keys and values are kept (0: what fits)")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--prefill-chunk", serve.prefill_chunk, "Prompt tokens computed in one step")
      ->check(CLI::Range(1, 65536));
  verb->add_option("--max-queue", serve.max_queue, "Requests that are open at once; beyond: 429")
      ->check(CLI::Range(1, 1000000));
  verb->add_option("--request-timeout", serve.request_timeout, "Seconds until a request fails")
      ->check(CLI::Range(0.1, 1e6));
  verb->add_option("--stream-buffer", serve.stream_buffer,
                   "Bytes that wait for a slow client; beyond, it is cut off")
      ->check(CLI::Range(1, 1 << 30));
  verb->add_option("--threads", serve.threads, "Threads that compute (0: one for each core)")
      ->check(CLI::Range(0, 256));
  verb->add_option("--seed", serve.seed, "Of requests that bring none (another one each time)")
      ->check(CLI::NonNegativeNumber);
  verb->callback([&] { code = cli::serve(serve); });

  verb = app.add_subcommand("model", "What a model is; models as folders of Hugging Face's transformers");
  verb->require_subcommand(1);
  verb->footer(
      "./troupe model fetch NAME (of the wrapper ./troupe) downloads one: ./troupe model fetch --help");
  cli::model_info_arguments info;
  one_verb = verb->add_subcommand(
      "info", "Architecture, parameters, memory, context, vocabulary, tokenizer, template, tensor formats");
  one_verb
      ->add_option("model", info.model,
                   "A folder of Hugging Face's transformers, a GGUF file, or a run's folder")
      ->required();
  one_verb->add_flag("--json", info.json, "Print JSON");
  one_verb->callback([&] { code = cli::model_info(info); });
  cli::model_convert_arguments convert;
  one_verb = verb->add_subcommand("convert", "Write a model as a folder that transformers loads");
  one_verb
      ->add_option("from", convert.from,
                   "A GGUF file, a folder of Hugging Face's transformers, or a run's folder")
      ->required();
  one_verb->add_option("to", convert.to, "The folder to make; it must not be there yet")->required();
  one_verb->add_option("--dtype", convert.dtype, "float32 (nothing is rounded) or bf16 (half the size)")
      ->check(CLI::IsMember({"float32", "bf16"}));
  one_verb->callback([&] { code = cli::model_convert(convert); });

  bool json = false;
  verb = app.add_subcommand("doctor", "Check what this machine has and what is missing");
  verb->add_flag("--json", json, "Print JSON");
  verb->callback([&] { code = cli::doctor(json); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int shown = app.exit(e);
    return shown == 0 ? 0 : cli::wrong_input;
  }
  return code;
}

#include "actors/run_config.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "gpu/engine_device.hpp"
#include "runtime/base/http_calls.hpp"

#include <limits>

namespace troupe {

namespace {

std::vector<std::string_view> loss_names() {
  std::vector<std::string_view> out;
  for (const auto& recipe : loss_recipes()) out.push_back(recipe.name);
  return out;
}

std::string loss_texts() {
  std::string out;
  for (const auto& recipe : loss_recipes())
    out += (out.empty() ? "" : "; ") + std::string(recipe.name) + ": " + std::string(recipe.about);
  return out + ".";
}

} // namespace

void run_config::visit(config_visitor& v) {
  v.section("run", "The run and where it leaves its files.");
  v.key("run.name", run.name, "Name of the run; its folder is <run.folder>/<run.name>.");
  v.key("run.folder", run.folder, "Folder that holds all runs.");
  v.key("seed", seed, {0, 1'000'000'000'000}, "", "Every random draw of the run follows from it.");

  v.section("data", "Questions and the documents that answer them.");
  v.key("data.tasks", data.tasks,
        "JSONL of {id, question, answer or answers, split}; empty: the built-in world of countries and "
        "cities.");
  v.key("data.corpus", data.corpus,
        "Folder of .txt, .md, .html files, or JSONL of {id, title, text}; empty: the built-in world's "
        "documents.");
  v.key("data.heldout_share", data.heldout_share, {0.05, 0.8}, "share",
        "Built-in world: countries whose questions are held out.");
  v.key("data.cities_per_country", data.cities_per_country, {0, 100}, "cities",
        "Built-in world: largest cities per country that have a document.");
  v.key("data.train_questions", data.train_questions, {1, 100'000}, "questions",
        "Built-in world: training questions at most.");
  v.key("data.heldout_questions", data.heldout_questions, {1, 100'000}, "questions",
        "Built-in world: held-out questions at most.");

  v.section("model", "The policy: a decoder-only transformer, from files or made from scratch.");
  v.key("model.path", model.path,
        "Folder of Hugging Face's transformers, or a GGUF file: its weights, tokenizer and chat template are "
        "the run's, and "
        "checkpoints are folders that transformers loads. Empty: made from scratch, by the sizes below.");
  v.key("model.system", model.system,
        "With model.path: what the system's message says; empty: how to call the tools and how to answer.");
  v.key("model.vocab_size", model.vocab_size, {300, 65536}, "tokens",
        "Vocabulary of the byte-level BPE tokenizer trained on the corpus.");
  v.key("model.hidden_size", model.hidden_size, {16, 8192}, "", "Width.");
  v.key("model.layers", model.layers, {1, 128}, "", "Transformer layers.");
  v.key("model.heads", model.heads, {1, 128}, "", "Attention heads.");
  v.key("model.kv_heads", model.kv_heads, {1, 128}, "",
        "Key/value heads (grouped-query attention); divides model.heads.");
  v.key("model.head_dim", model.head_dim, {8, 256}, "", "Width of a head; even.");
  v.key("model.ffn_size", model.ffn_size, {16, 32768}, "", "Inner width of SwiGLU.");
  v.key("model.context", model.context, {64, 32768}, "tokens",
        "Longest context; a rollout that would exceed it is truncated.");
  v.key("model.rope_theta", model.rope_theta, {100, 1e8}, "", "Base of the rotary positions.");
  v.key("model.previous_token_map", model.previous_token_map,
        "From-scratch policies only: previous-token input map and induction heads at initialisation, which "
        "make copying learnable in minutes.");

  v.section("warmup", "Supervised warm-up: on imperfect scripted demonstrations, or on your own chats.");
  v.key("warmup.enabled", warmup.enabled, "Off: reinforcement learning starts from random weights.");
  v.key("warmup.data", warmup.data,
        "A JSONL file of chats (\"messages\", optional \"tools\") to learn from instead, written by the "
        "model's own "
        "template; only what assistants say has a loss (docs/own-data.md). Needs model.path.");
  v.key("warmup.steps", warmup.steps, {0, 1'000'000}, "steps", "Optimizer steps.");
  v.key("warmup.batch_tokens", warmup.batch_tokens, {64, 1'000'000}, "tokens",
        "Padded tokens per step: as many demonstrations of about one length as fit.");
  v.key("warmup.learning_rate", warmup.learning_rate, {0, 1}, "", "Peak learning rate of AdamW.");
  v.key("warmup.other_text_weight", warmup.other_text_weight, {0, 1}, "",
        "Loss weight of text in demonstrations that the policy does not write (questions, observations); in "
        "chats of "
        "warmup.data it is 0.");
  v.key("warmup.lr_warmup_steps", warmup.lr_warmup_steps, {0, 100'000}, "steps",
        "Linear rise of the learning rate.");
  v.key("warmup.lr_final_share", warmup.lr_final_share, {0, 1}, "share",
        "Learning rate at the end, as a share of the peak (linear decay).");
  v.key("warmup.drills_first", warmup.drills_first, {0, 1}, "share",
        "Share of short drills at the first step; changes linearly to drills_last.");
  v.key("warmup.drills_last", warmup.drills_last, {0, 1}, "share", "Share of short drills at the last step.");
  v.key("warmup.reading_first", warmup.reading_first, {0, 1}, "share",
        "Reading drills among the drills at the first step.");
  v.key("warmup.reading_last", warmup.reading_last, {0, 1}, "share",
        "Reading drills among the drills at the last step.");
  v.key("warmup.bridging_first", warmup.bridging_first, {0, 1}, "share",
        "Bridging drills (read an observation that is not the last, make the next call) among the drills "
        "that are not reading, at the first step.");
  v.key("warmup.bridging_last", warmup.bridging_last, {0, 1}, "share", "... at the last step.");
  v.key("warmup.digits", warmup.digits, {0, 1}, "share", "Reading drills that ask for a number.");
  v.key("warmup.opens", warmup.opens, {0, 1}, "share",
        "Later hops of the demonstrations that open the document, whose title is known by then, rather than "
        "search for it.");
  v.key("warmup.fictional", warmup.fictional, {0, 1}, "share",
        "Demonstrations about invented countries, which teach copying instead of the map.");
  v.key("warmup.good", warmup.good, {0, 1}, "share",
        "Demonstrations that search hop by hop and answer right.");
  v.key("warmup.useless", warmup.useless, {0, 1}, "share", "... that repeat a search first.");
  v.key("warmup.lazy", warmup.lazy, {0, 1}, "share", "... that stop one hop early and guess.");
  v.key("warmup.guess", warmup.guess, {0, 1}, "share", "... that guess at once.");
  v.key("warmup.wrong_field", warmup.wrong_field, {0, 1}, "share", "... that read the wrong fact.");
  v.key("warmup.malformed", warmup.malformed, {0, 1}, "share", "... with a malformed tool call.");
  v.key("warmup.cache", warmup.cache,
        "Reuse the weights of an earlier warm-up with the same inputs (same hash).");
  v.key("warmup.checkpoint_every", warmup.checkpoint_every, {0, 1'000'000}, "steps",
        "A killed warm-up goes on from the last such step, with the same result; 0: from its beginning.");

  v.section("rl", "Reinforcement learning.");
  v.key("rl.mode", rl.mode, {"sync", "async"},
        "sync: a batch is generated, then trained on; async: rollouts, tools, judging and learning overlap.");
  v.key("rl.eta", rl.eta, {0, 64}, "versions",
        "Strict bound on staleness: no token older than this is trained on. Only for rl.mode=async.");
  v.key("rl.steps", rl.steps, {0, 1'000'000}, "steps", "Batches to train on.");
  v.key("rl.groups_per_step", rl.groups_per_step, {1, 4096}, "groups", "Questions per batch.");
  v.key("rl.group_size", rl.group_size, {1, 4095}, "rollouts", "Attempts per question.");
  v.key("rl.minibatches", rl.minibatches, {1, 64}, "", "Optimizer steps per batch.");
  v.key("rl.learning_rate", rl.learning_rate, {0, 1}, "", "Peak learning rate of AdamW.");
  v.key("rl.lr_warmup_steps", rl.lr_warmup_steps, {0, 100'000}, "steps", "Linear rise of the learning rate.");
  v.key("rl.lr_final_share", rl.lr_final_share, {0, 1}, "share",
        "Learning rate at the last step, as a share of the peak (linear decay).");
  v.key("rl.loss", rl.loss, loss_names(), loss_texts());
  v.key("rl.tau", rl.tau, {1e-6, 100, false}, "", "Regularisation of the k2 loss.");
  v.key("rl.ratio_cap", rl.ratio_cap, {0, 1e6, true}, "", "reinforce: bound of the importance weights.");
  v.key(
      "rl.clip_low", rl.clip_low, {0, 1}, "",
      "Losses with a clip: ratios below 1 - this are clipped; 0: the loss's own bound (ppo 0.2, gspo 3e-4).");
  v.key("rl.clip_high", rl.clip_high, {0, 1000}, "",
        "... above 1 + this; 0: the loss's own bound (ppo 0.2, dapo and cispo 0.28, gspo 4e-4).");
  v.key("rl.dual_clip", rl.dual_clip, {0, 1000}, "",
        "Losses with a clip: bound of the loss of a token of negative advantage, as a multiple of it; 0: "
        "none.");
  v.key("rl.length_constant", rl.length_constant, {0, 1e6}, "tokens",
        "dr_grpo: what a rollout's sum is divided by; 0: rollout.max_turns x rollout.max_turn_tokens.");
  v.key("rl.kl_weight", rl.kl_weight, {0, 100}, "",
        "Weight of the KL (k3) to the model that the run began with. Only with model.path.");
  v.key("rl.proximal", rl.proximal, {"recompute", "interpolate", "behaviour"},
        "Losses with a ratio: what the policy is compared with. recompute: itself before the batch, by one "
        "more forward pass; "
        "interpolate: between the recorded and the current logprobs, by version (A-3PO); behaviour: as "
        "recorded.");
  v.key("rl.correction", rl.correction, {"none", "truncate", "mask"},
        "Losses with a ratio: a weight w = proximal / recorded for what staleness and the engine's "
        "arithmetic do. truncate: at most "
        "correction_high; mask: 0 outside of [correction_low, correction_high]. decoupled_ppo weighs by w "
        "even with none.");
  v.key("rl.correction_level", rl.correction_level, {"token", "sequence", "geometric"},
        "w of each token, of its whole rollout, or their geometric mean.");
  v.key("rl.correction_low", rl.correction_low, {0, 1}, "", "mask: least w.");
  v.key("rl.correction_high", rl.correction_high, {1, 1e9, true}, "", "truncate, mask: greatest w.");
  v.key("rl.overlong_tokens", rl.overlong_tokens, {0, 1'000'000}, "tokens",
        "DAPO's soft punishment: a rollout of so many sampled tokens loses 1 of its reward; 0: off.");
  v.key("rl.overlong_cushion", rl.overlong_cushion, {0, 1'000'000}, "tokens",
        "... and none below overlong_tokens - this.");
  v.key("rl.deterministic", rl.deterministic,
        "The learner takes logprobs from the engine's own forward pass (gradients from its own): at equal "
        "weights they are those that the "
        "engine recorded, bit for bit. Costs a second forward pass.");
  v.key("rl.gamma", rl.gamma, {0, 1, true}, "",
        "Decay per turn of a correct trajectory's reward: turn i of T counts gamma^(T-i).");
  v.key("rl.negative_keep", rl.negative_keep, {0, 1}, "probability",
        "Samples of negative advantage that are kept (Kimi-Researcher's negative-sample control).");
  v.key("rl.ptx_weight", rl.ptx_weight, {0, 10}, "",
        "Weight of the supervised term on curated samples (Kimi K2's PTX loss).");
  v.key("rl.clip_norm", rl.clip_norm, {0, 1e6, true}, "", "Gradient norm above which it is clipped.");
  v.key("rl.weight_decay", rl.weight_decay, {0, 1}, "", "Decoupled weight decay.");
  v.key("rl.kv_on_update", rl.kv_on_update, {"keep", "recompute"},
        "Cached keys and values of running rollouts when new weights arrive: recompute them, so that every "
        "token has the logprob that its version gives; or keep the old ones, which saves time and mixes "
        "versions.");
  v.key("rl.beyond_eta", rl.beyond_eta, {"mask", "retire"},
        "Tokens of a resumed rollout that are older than rl.eta when their batch comes: mask leaves them out "
        "of the loss "
        "(counted); retire takes their whole group out of the run as stale.");

  v.key("rl.time_limit", rl.time_limit, {0, 1e9}, "s",
        "Training ends after the step in progress when it has taken so long, and the evaluation follows; 0: "
        "no limit.");

  v.section("rollout", "One attempt at a task, and how many run at once.");
  v.key("rollout.max_concurrent", rollout.max_concurrent, {1, 100'000}, "rollouts",
        "Rollouts that run at once.");
  v.key("rollout.max_turns", rollout.max_turns, {1, 1000}, "turns",
        "Assistant turns; then the rollout is truncated.");
  v.key("rollout.max_turn_tokens", rollout.max_turn_tokens, {1, 32768}, "tokens",
        "Tokens of one turn; a turn that is cut off is malformed.");
  v.key("rollout.max_calls_per_turn", rollout.max_calls_per_turn, {1, 64}, "calls",
        "Tool calls in one turn.");
  v.key("rollout.max_observation_chars", rollout.max_observation_chars, {16, 1'000'000}, "bytes",
        "Tool results are cut to this, at a character.");
  v.key("rollout.temperature", rollout.temperature, {0, 10, true}, "",
        "Sampling temperature of training rollouts.");
  v.key("rollout.turn_timeout", rollout.turn_timeout, {0.01, 86'400}, "s",
        "A turn that the engine does not finish in this time is tried again.");
  v.key("rollout.time_budget", rollout.time_budget, {0.01, 86'400}, "s",
        "Time that a training rollout keeps its slot; past it, it is parked at a turn boundary and goes on "
        "later, with newer "
        "weights (turn-level preemption, Kimi-Researcher). An evaluation's rollout fails instead, which is "
        "no reward.");
  v.key("rollout.over_budget", rollout.over_budget, {"park", "fail"},
        "What happens to a training rollout over its time budget.");
  v.key("rollout.max_parked_groups", rollout.max_parked_groups, {0, 100'000}, "groups",
        "Groups admitted beyond the window of rl.eta in place of those that wait parked.");
  v.key("rollout.parked_kv", rollout.parked_kv, {"free", "keep"},
        "A parked rollout's keys and values in the engine: freed (computed again when it goes on), or kept "
        "while there is room.");
  v.key("rollout.park_on_publish", rollout.park_on_publish,
        "Also park every running rollout when new weights arrive; it goes on with them.");
  v.key("rollout.preempt", rollout.preempt,
        "Where slots are short, an evaluation's rollouts go before training ones and older groups before "
        "newer ones: the newest training "
        "rollouts give their slots up at their next turn boundary, and go on from there when one is free.");
  v.key("rollout.journal_interval", rollout.journal_interval, {0, 60}, "s",
        "Tokens of turns in progress are written to the store at most so often, all rollouts together: a "
        "crash costs a rollout no more than "
        "what it sampled since. 0: a turn that a crash interrupts is sampled from its beginning.");
  v.key("rollout.format_penalty", rollout.format_penalty, {-100, 0}, "reward",
        "Reward of a malformed or unfinished trajectory.");

  v.section("tools", "What the agent can call.");
  v.key("tools.search_results", tools.search_results, {1, 20}, "documents", "Results per query.");
  v.key("tools.snippet_chars", tools.snippet_chars, {16, 100'000}, "bytes", "Text of one search result.");
  v.key("tools.page_chars", tools.page_chars, {16, 1'000'000}, "bytes",
        "Text of one page of an opened document.");
  v.key("tools.timeout", tools.timeout, {0.001, 86'400}, "s",
        "A call that takes longer fails; the failure is an observation.");
  v.key("tools.simulated_latency", tools.simulated_latency, {0, 3600}, "s",
        "Median of an artificial, log-normal delay of every call; 0: none.");
  v.key("tools.simulated_tail", tools.simulated_tail, {1, 1000}, "",
        "p99 of the artificial delay, as a multiple of its median.");

  v.section("eval", "Measuring on held-out questions.");
  v.key("eval.before", eval.before, "Also measure before reinforcement learning.");
  v.key("eval.questions", eval.questions, {0, 100'000}, "questions",
        "Held-out questions before and after; 0: nothing is measured.");
  v.key("eval.samples", eval.samples, {1, 64}, "rollouts",
        "Samples per question at temperature 1 (pass@4 needs 4).");
  v.key("eval.every", eval.every, {0, 100'000}, "steps",
        "A point of the held-out curve every so many steps; 0: none.");
  v.key("eval.curve_questions", eval.curve_questions, {1, 100'000}, "questions",
        "Held-out questions for a point of the curve.");

  v.section("engine", "Generation.");
  v.key("engine.threads", engine.threads, {1, 256}, "threads", "Threads of the engine.");
  v.key("engine.max_sequences", engine.max_sequences, {1, 4096}, "sequences",
        "Sequences that decode in one step.");
  v.key("engine.kv_tokens", engine.kv_tokens, {64, 100'000'000}, "tokens", "Size of the KV cache.");
  v.key("engine.prefill_chunk", engine.prefill_chunk, {1, 100'000}, "tokens",
        "Prompt tokens computed per step.");
  v.key("engine.device", engine.device, {"cpu", "cuda", "auto"},
        "Where it computes: the CPU's own kernels, or LibTorch's on the first CUDA device, where nothing is "
        "equal "
        "bit for bit; auto: cuda where there is one.");
  v.key("engine.compute", engine.compute, {"float32", "bfloat16"},
        "What matrix products multiply, and what keys and values are kept in. bfloat16 is for cuda.");
  v.key("engine.remote", engine.remote,
        "Generate by the server at this URL (http://host:port) instead of in this process: `troupe serve`, "
        "vLLM or SGLang (docs/serving.md). It reads new weights from the run's folder, under the same path. "
        "Empty: in this "
        "process.");
  v.key("engine.remote_key_env", engine.remote_key_env,
        "With engine.remote: the name of an environment variable that holds the key for the server's API and "
        "control routes.");

  v.section("learner", "Training.");
  v.key("learner.threads", learner.threads, {1, 256}, "threads", "Threads of the learner.");
  v.key("learner.max_tokens_per_pass", learner.max_tokens_per_pass, {64, 10'000'000}, "tokens",
        "Padded tokens of one forward and backward pass.");

  v.key("learner.check_samples", learner.check_samples, {0, 1000}, "samples",
        "Samples per step whose engine logprobs are computed again with the weights of their version "
        "(max_logprob_gap); 0: off.");

  v.key("learner.optimizer", learner.optimizer, {"adamw", "muon"},
        "muon: matrices inside the layers by Muon, everything else by AdamW; for both, warm-up and RL.");
  v.key("learner.compute", learner.compute, {"float32", "bfloat16"},
        "What matrix products multiply; weights, sums and everything else are float32. bfloat16 is for "
        "processors with AVX512_BF16 or "
        "AMX.");
  v.key("learner.device", learner.device, {"cpu", "cuda"}, "Where it computes.");
  v.key("learner.recompute_layers", learner.recompute_layers,
        "Activation checkpointing: each layer is computed again for its gradient. The same bits, a third "
        "more work, a fraction of the "
        "memory.");
  v.key("learner.logits_mib", learner.logits_mib, {1, 65536}, "MiB",
        "Logits held at once by a thread; of more, all but the last piece are computed again for the "
        "gradient.");
  v.key("learner.lora_rank", learner.lora_rank, {0, 1024}, "",
        "Train low-rank adapters of this rank over frozen weights; published and saved merged, and apart in "
        "adapter/. 0: all weights "
        "are trained. Only with model.path.");
  v.key("learner.lora_alpha", learner.lora_alpha, {0, 1e6, true}, "", "Adapters count alpha / rank.");
  v.key("learner.lora_targets", learner.lora_targets,
        "What is adapted: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj.");

  v.section("checkpoint", "What a crash may cost.");
  v.key("checkpoint.every", checkpoint.every, {1, 100'000}, "steps",
        "A checkpoint every so many steps; steps since the last are trained again after a crash.");
  v.key("checkpoint.keep", checkpoint.keep, {1, 1000}, "checkpoints", "Checkpoints that stay on disk.");

  v.section("telemetry", "What the run leaves for an operator beside its figures.");
  v.key("telemetry.log_level", telemetry.log_level, {"debug", "info", "warning", "error"},
        "Least level of what goes into run.log (JSON lines).");
  v.key("telemetry.trace", telemetry.trace,
        "Write trace.json, what each rollout, the engine and the learner did when, for ui.perfetto.dev.");

  v.section("judge", "Who gives rewards, and what happens while it fails.");
  v.key("judge.trip_after", judge.trip_after, {1, 1000}, "failures",
        "So many in a row, and rollouts wait while one of them at a time tries again.");
  v.key("judge.probe_every", judge.probe_every, {0.01, 3600}, "s", "How often one tries meanwhile.");
  v.key("judge.patience", judge.patience, {0.01, 86'400}, "s",
        "A rollout that waits longer fails with that reason; it is never given a reward.");

  v.section("faults", "What goes wrong on purpose (docs/faults.md).");
  v.key("faults.enabled", faults.enabled, "Allow injected faults: by faults.plan, by REST.");
  v.key("faults.seed", faults.seed, {0, std::numeric_limits<std::int64_t>::max()}, "",
        "Chooses victims and times; 0: from the run's seed.");
  v.key("faults.plan", faults.plan,
        "Rules, each a text such as \"kill any every=2s\" or \"throw rollout at=tool_result share=0.01\".");

  v.section("health", "Who takes no message for too long is given a new life.");
  v.key("health.enabled", health.enabled, "Watch the actors.");
  v.key("health.patience", health.patience, {0.05, 3600}, "s",
        "For every actor without a key of its own here.");
  v.key("health.store_patience", health.store_patience, {0.05, 3600}, "s",
        "For the store: longer than the disk's slowest fsync.");
  v.key("health.learner_patience", health.learner_patience, {0.05, 86'400}, "s",
        "For the learner, and with model.path for the engine: longer than its longest step.");
  v.key("health.crash_loop", health.crash_loop, {0, 1'000'000}, "lives",
        "An actor of which so many lives in a row, over at least 10 s, end without getting on (a step of the "
        "learner that is asked for one; of others a life of 5 s) ends the run with its reason; 0: never.");

  v.section("control", "The REST control actor.");
  v.key("control.enabled", control.enabled, "Serve it.");
  v.key("control.address", control.address, "Address to listen on.");
  v.key("control.port", control.port, {0, 65535}, "",
        "Port to listen on; 0: any free one, named at the start.");
}

expected<void> run_config::check() const {
  auto wrong = [](std::string text) { return fail(errc::invalid, std::move(text)); };
  if (run.name.empty() || run.name.find('/') != std::string::npos || run.name == "." || run.name == "..")
    return wrong("run.name is \"" + run.name + "\", expected a folder's name");
  if (data.tasks.empty() != data.corpus.empty())
    return wrong("data.tasks and data.corpus go together: found only " +
                 std::string(data.tasks.empty() ? "data.corpus" : "data.tasks"));
  if (rl.mode == "sync" && rl.eta != 0 && rl.eta != run_config{}.rl.eta)
    return wrong("rl.mode=sync has no staleness: rl.eta is " + std::to_string(rl.eta) +
                 ", expected 0 or rl.mode=async");
  if (recipe_by_name(rl.loss)->leave_one_out && rl.group_size < 2)
    return wrong("rl.loss=" + rl.loss + " needs a baseline: rl.group_size is " +
                 std::to_string(rl.group_size) + ", expected at least 2");
  if (const auto ok = check_learning(); !ok) return ok;
  if (model.context < rollout.max_turn_tokens * 2)
    return wrong("model.context is " + std::to_string(model.context) +
                 ", expected at least twice rollout.max_turn_tokens (" +
                 std::to_string(rollout.max_turn_tokens) + ")");
  if (engine.kv_tokens < model.context)
    return wrong("engine.kv_tokens is " + std::to_string(engine.kv_tokens) +
                 ", expected at least model.context (" + std::to_string(model.context) + ")");
  if (auto url = engine.remote.empty() ? expected<void>() : http::check_url(engine.remote); !url)
    return wrong("engine.remote: " + url.error().message);
  if (!engine.remote.empty() && engine.device != "cpu")
    return wrong("engine.remote computes elsewhere: engine.device is " + engine.device + ", expected cpu");
  if (engine.remote.empty() && !engine.remote_key_env.empty())
    return wrong("engine.remote_key_env is given, but the engine is in this process: expected engine.remote");
  if (!faults.plan.empty() && !faults.enabled)
    return wrong("faults.plan has " + std::to_string(faults.plan.size()) +
                 " rules, but this run does not allow faults: expected faults.enabled=true");
  if (auto plan = make_fault_plan(*this, 0); !plan) return wrong("faults.plan: " + plan.error().message);
  const double shares =
      warmup.good + warmup.useless + warmup.lazy + warmup.guess + warmup.wrong_field + warmup.malformed;
  if (!warmup.data.empty() && model.path.empty())
    return wrong("warmup.data is " + warmup.data +
                 ", but chats are written by a model's own template: expected model.path, too");
  if (!warmup.data.empty() && !warmup.enabled)
    return wrong("warmup.data is " + warmup.data + ", but warmup.enabled is false: nothing would read it");
  if (warmup.enabled && warmup.data.empty() && shares <= 0)
    return wrong("the shares of demonstrations (warmup.good, warmup.useless, ...) are all 0");
  if (!model.path.empty()) return {}; // the files say its shape
  return troupe::check(model_shape(static_cast<int>(model.vocab_size)));
}

/// What of a loss and of the learner goes together.
expected<void> run_config::check_learning() const {
  auto wrong = [](std::string text) { return fail(errc::invalid, std::move(text)); };
  const auto& recipe = *recipe_by_name(rl.loss);
  const rl_section usual;
  const auto number = [](double x) { return json::dump(json::value(x)); };
  if (recipe.clip_low == 0)
    for (auto [name, value] : {std::pair{"rl.clip_low", rl.clip_low}, {"rl.clip_high", rl.clip_high}})
      if (value != 0)
        return wrong("rl.loss=" + rl.loss + " has no clip: " + name + " is " + number(value) +
                     ", expected 0");
  if (!recipe.proximal) {
    if (rl.correction != "none")
      return wrong("rl.loss=" + rl.loss + " has no ratio to a proximal policy: rl.correction is " +
                   rl.correction + ", expected none");
    if (rl.proximal != usual.proximal)
      return wrong("rl.loss=" + rl.loss + " has no ratio to a proximal policy: rl.proximal is " +
                   rl.proximal + ", expected " + usual.proximal);
  }
  if (rl.proximal == "behaviour" && (rl.correction != "none" || rl.loss == "decoupled_ppo"))
    return wrong("rl.proximal=behaviour leaves nothing to correct: " +
                 (rl.correction != "none" ? "rl.correction is " + rl.correction + ", expected none"
                                          : "rl.loss is decoupled_ppo, expected ppo"));
  if (rl.correction_low >= rl.correction_high)
    return wrong("rl.correction_low is " + number(rl.correction_low) +
                 ", expected less than rl.correction_high (" + number(rl.correction_high) + ")");
  if (rl.kl_weight > 0 && model.path.empty())
    return wrong("rl.kl_weight is " + number(rl.kl_weight) +
                 ", but a policy made from scratch has nothing to stay near: expected 0, or model.path");
  if (rl.overlong_cushion > rl.overlong_tokens)
    return wrong("rl.overlong_cushion is " + std::to_string(rl.overlong_cushion) +
                 ", expected at most rl.overlong_tokens (" + std::to_string(rl.overlong_tokens) + ")");
  if (rl.overlong_tokens > 0 && rl.overlong_cushion == 0)
    return wrong("rl.overlong_tokens is " + std::to_string(rl.overlong_tokens) +
                 ", but rl.overlong_cushion is 0: expected a cushion across which the punishment grows");
  if (rl.deterministic && (rollout.temperature != 1 || learner.compute != "float32"))
    return wrong("rl.deterministic compares float32 logprobs at temperature 1: rollout.temperature is " +
                 number(rollout.temperature) + ", learner.compute " + learner.compute);
  if (rl.deterministic && engine.device != "cpu")
    return wrong("rl.deterministic compares bits, which only the CPU's kernels keep: engine.device is " +
                 engine.device + ", expected cpu");
  if (engine.compute == "bfloat16" && engine.device != "cuda")
    return wrong("engine.compute=bfloat16 is for engine.device=cuda, which is " + engine.device +
                 "; expected float32");
  if (learner.compute == "bfloat16" && learner.device == "cpu" && !has_fast_bfloat16())
    return wrong("learner.compute=bfloat16 is slower than float32 here: this processor has neither "
                 "AVX512_BF16 nor AMX; "
                 "expected float32");
  if (learner.lora_rank > 0 && model.path.empty())
    return wrong("learner.lora_rank is " + std::to_string(learner.lora_rank) +
                 ", but a model made from scratch has nothing to adapt: expected 0, or model.path");
  if (learner.lora_rank > 0 && learner.optimizer == "muon")
    return wrong("learner.optimizer=muon makes whole matrices orthogonal: learner.lora_rank is " +
                 std::to_string(learner.lora_rank) + ", expected 0 or learner.optimizer=adamw");
  if (!model.system.empty() && model.path.empty())
    return wrong(
        "model.system is given, but a policy made from scratch has no system's message: expected model.path");
  return {};
}

model_config run_config::model_shape(int vocab_size) const {
  model_config out;
  out.vocab_size = vocab_size;
  out.hidden_size = static_cast<int>(model.hidden_size);
  out.num_hidden_layers = static_cast<int>(model.layers);
  out.num_attention_heads = static_cast<int>(model.heads);
  out.num_key_value_heads = static_cast<int>(model.kv_heads);
  out.head_dim = static_cast<int>(model.head_dim);
  out.intermediate_size = static_cast<int>(model.ffn_size);
  out.max_position_embeddings = static_cast<int>(model.context);
  out.rope_theta = model.rope_theta;
  out.previous_token_map = model.previous_token_map;
  return out;
}

engine_limits run_config::engine_shape() const {
  return {.max_sequences = static_cast<int>(engine.max_sequences),
          .max_kv_tokens = engine.kv_tokens,
          .prefill_chunk = static_cast<int>(engine.prefill_chunk),
          .threads = static_cast<int>(engine.threads),
          .mode = engine.compute == "bfloat16" ? arithmetic::fast : arithmetic::exact,
          .device = *engine_device_by_name(engine.device)};
}

learner_options run_config::learner_shape() const {
  learner_options out;
  out.optimizer.weight_decay = rl.weight_decay;
  out.optimizer.clip_norm = rl.clip_norm;
  out.threads = static_cast<int>(learner.threads);
  out.max_tokens_per_pass = static_cast<int>(learner.max_tokens_per_pass);
  out.optimizer.kind = learner.optimizer == "muon" ? optimizer_kind::muon : optimizer_kind::adamw;
  out.bfloat16 = learner.compute == "bfloat16";
  out.device = learner.device;
  out.recompute_layers = learner.recompute_layers;
  out.most_logits = learner.logits_mib << 18; // float32
  out.adapters = {.rank = static_cast<int>(learner.lora_rank),
                  .alpha = learner.lora_alpha,
                  .targets = learner.lora_targets,
                  .seed = static_cast<std::uint64_t>(seed)};
  out.exact_logprobs = rl.deterministic;
  return out;
}

rl_options run_config::rl_shape(double learning_rate) const {
  rl_options out;
  out.loss = recipe_by_name(rl.loss)->kind;
  out.ratio_cap = rl.ratio_cap;
  out.clip_low = rl.clip_low;
  out.clip_high = rl.clip_high;
  out.dual_clip = rl.dual_clip;
  out.length_constant = rl.length_constant > 0
                            ? rl.length_constant
                            : static_cast<double>(rollout.max_turns * rollout.max_turn_tokens);
  out.kl_weight = rl.kl_weight;
  out.proximal = rl.proximal == "recompute"     ? proximal_policy::recompute
                 : rl.proximal == "interpolate" ? proximal_policy::interpolate
                                                : proximal_policy::behaviour;
  out.correction = rl.correction == "none"       ? mismatch_correction::none
                   : rl.correction == "truncate" ? mismatch_correction::truncate
                                                 : mismatch_correction::mask;
  out.correction_by = rl.correction_level == "token"      ? correction_level::token
                      : rl.correction_level == "sequence" ? correction_level::sequence
                                                          : correction_level::geometric;
  out.correction_low = rl.correction_low;
  out.correction_high = rl.correction_high;
  out.tau = rl.tau;
  out.ptx_weight = rl.ptx_weight;
  out.minibatches = static_cast<int>(rl.minibatches);
  out.learning_rate = learning_rate;
  return out;
}

episode_limits run_config::episode_shape() const {
  return {static_cast<int>(rollout.max_turns), static_cast<int>(rollout.max_calls_per_turn),
          static_cast<int>(rollout.max_observation_chars)};
}

reward_options run_config::reward_shape() const { return {1.0, 0.0, rollout.format_penalty, rl.gamma}; }

world_options run_config::world_shape() const {
  world_options out;
  out.seed = seed_of_world;
  out.heldout_share = data.heldout_share;
  out.cities_per_country = static_cast<int>(data.cities_per_country);
  out.train_questions = static_cast<int>(data.train_questions);
  out.heldout_questions = static_cast<int>(data.heldout_questions);
  return out;
}

} // namespace troupe

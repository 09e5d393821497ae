#include "cli/run_report.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "actors/ledger.hpp"
#include "actors/record_body.hpp"
#include "actors/run_model.hpp"
#include "cli/fault_table.hpp"
#include "cli/report_page.hpp"
#include "cli/report_summary.hpp"
#include "cli/report_values.hpp"
#include "runtime/base/file.hpp"
#include "tools/search_tools.hpp"

#include <algorithm>
#include <iostream>
#include <thread>

namespace troupe::cli {

namespace fs = std::filesystem;

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  std::string line, name = "unknown CPU";
  while (std::getline(info, line))
    if (line.starts_with("model name")) {
      name = line.substr(line.find(':') + 2);
      break;
    }
  return name + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores";
}

namespace {

/// Verdicts of one evaluation round at attempt 0, by question.
std::map<std::uint64_t, bool> verdicts_of_round(const std::vector<record>& verdicts, std::uint64_t round) {
  std::map<std::uint64_t, bool> out;
  for (const auto& r : verdicts) {
    auto key = parse_rollout_stream(r.stream);
    if (!key || key->why != purpose::evaluation || key->attempt != 0 || key->group >> 20 != round) continue;
    if (auto body = json::parse(r.body); body && body->is_object())
      if (const auto* correct = body->get_object().if_contains("correct"); correct && correct->is_bool())
        out[key->group & 0xfffff] = correct->get_bool();
  }
  return out;
}

/// Pairs of transcripts of the same question: wrong before, right after; those with more hops first.
json::array transcript_pairs(event_store& store, const run_context& ctx) {
  json::array out;
  auto verdicts = store.read_kind("verdict");
  if (!verdicts) return out;
  const auto before = verdicts_of_round(*verdicts, 1), after = verdicts_of_round(*verdicts, 3);
  std::vector<std::uint64_t> questions;
  for (const auto& [question, right] : before)
    if (!right && after.contains(question) && after.at(question) && question < ctx.heldout.size())
      questions.push_back(question);
  std::stable_sort(questions.begin(), questions.end(),
                   [&](auto a, auto b) { return ctx.heldout[a].hops > ctx.heldout[b].hops; });
  for (auto question : questions) {
    if (out.size() == 2) break;
    auto then = read_rollout(store, ctx, {purpose::evaluation, (1ull << 20) + question, 0});
    auto now = read_rollout(store, ctx, {purpose::evaluation, (3ull << 20) + question, 0});
    if (then && now)
      out.push_back(
          json::object{{"before", to_json(then->as_transcript())}, {"after", to_json(now->as_transcript())}});
  }
  return out;
}

/// A report is worth its figures even where its files cannot be written (a full or read-only disk): say so and go on.
void write_or_warn(const fs::path& path, std::string_view text, const run_context* ctx = nullptr) {
  if (const auto struck = ctx ? fault_in_answer(*ctx, "report", "write", "report") : std::nullopt) {
    std::cerr << "troupe: warning: cannot write " << path.string() << ": injected: " << struck->text << '\n';
    return;
  }
  if (auto ok = write_file_atomically(path, text); !ok)
    std::cerr << "troupe: warning: " << to_string(ok.error()) << '\n';
}

/// The figures as the store has them; metrics.jsonl is written anew from them, should a full disk have cut it.
expected<std::vector<json::object>> durable_metrics(event_store& store, const run_folder& folder) {
  auto stored = store.read_kind("metric");
  if (!stored) return fail(stored.error());
  std::vector<json::object> out;
  std::string lines;
  for (const auto& r : *stored) {
    auto body = body_of(r);
    if (!body) return fail(body.error());
    lines += r.body + "\n";
    out.push_back(std::move(*body));
  }
  write_or_warn(folder.path / "metrics.jsonl", lines);
  return out;
}

std::string newest_checkpoint(const fs::path& folder) {
  std::string best;
  long long step = -1;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder / "checkpoints", ignored)) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with("step-")) continue;
    if (const long long n = std::atoll(name.c_str() + 5); n > step) {
      step = n;
      best = entry.path().string();
    }
  }
  return best;
}

} // namespace

expected<balance> count_balance(event_store& store, int group_size) {
  std::array<std::vector<record>, 4> found;
  std::size_t i = 0;
  for (const char* kind : {"admission", "consumption", "retirement", "rollback"}) {
    auto records = store.read_kind(kind);
    if (!records) return fail(records.error());
    found[i++] = std::move(*records);
  }
  auto book = fold_ledger(found[0], found[1], found[2], found[3]);
  if (!book) return fail(book.error());
  balance sheet;
  sheet.accepted = book->admitted * static_cast<std::uint64_t>(group_size);
  sheet.trained = book->trained;
  sheet.retired = book->retired;
  sheet.pending = book->open_groups.size() * static_cast<std::uint64_t>(group_size);
  return sheet;
}

expected<std::shared_ptr<run_context>> reading_context(const run_folder& folder) {
  auto config = folder.config();
  if (!config) return fail(config.error());
  auto ctx = std::make_shared<run_context>();
  ctx->config = *config;
  ctx->folder = folder.path;
  ctx->time = &system_clock();
  auto tasks = read_tasks(folder.path / "data" / "tasks.jsonl");
  if (!tasks) return fail(tasks.error());
  for (auto& t : *tasks) (t.part == split::train ? ctx->train : ctx->heldout).push_back(std::move(t));
  ctx->order = task_order(std::max<std::size_t>(1, ctx->train.size()), ctx->seed_for("tasks"));
  // The tools' schemas decide how a turn reads; a tiny index stands in for the corpus, nothing is searched.
  auto index = search_index::build({{"none", "none", "none"}});
  if (!index) return fail(index.error());
  const tool_set tools{make_search_tool(*index), make_open_tool(*index)};
  for (const auto& t : tools) ctx->rules.tools.push_back({t->spec().name, t->spec().parameters});
  if (!config->model.path.empty()) {
    const auto model = kept_run_model(folder.path / "data");
    if (!model) return fail(model.error());
    if (auto made = set_rules(ctx->rules, *model, tools, *config); !made) return fail(made.error());
  } else {
    auto words = tokenizer::load(folder.path / "data" / "tokenizer.json");
    if (!words) return fail(words.error());
    ctx->rules.words = std::make_shared<const tokenizer>(std::move(*words));
  }
  ctx->rules.limits = config->episode_shape();
  ctx->rules.max_turn_tokens = static_cast<int>(config->rollout.max_turn_tokens);
  ctx->rules.context = static_cast<int>(config->model.context);
  return ctx;
}

expected<trajectory> read_rollout(event_store& store, const run_context& ctx, const rollout_key& key) {
  auto records = store.read_stream(stream_of(key));
  if (!records) return fail(records.error());
  if (records->empty())
    return fail(errc::not_found, "no rollout " + key.text() + " in " + ctx.folder.string());
  const bool train = key.why == purpose::train;
  const auto question = key.group & 0xfffff;
  if (!train && question >= ctx.heldout.size())
    return fail(errc::corrupt, "rollout " + key.text() + " has no task");
  trajectory out(key, train ? ctx.train_task(key.group) : ctx.heldout[question], ctx.rules,
                 ctx.config.rollout.temperature);
  std::vector<std::optional<observation>> observed;
  if (auto ok = replay_records(out, *records, observed); !ok) return fail(ok.error());
  return out;
}

expected<json::object> write_report(const run_folder& folder, const run_context& ctx,
                                    const std::optional<balance>& sheet) {
  auto store = folder.store();
  if (!store) return fail(store.error());
  auto records = durable_metrics(**store, folder);
  if (!records) return fail(records.error());
  json::object extras{{"run", folder.path.string()}, {"cpu", cpu_name()}};
  if (sheet) {
    extras["rollouts"] = to_json(*sheet);
  } else {
    auto counted = count_balance(**store, static_cast<int>(ctx.config.rl.group_size));
    if (!counted) return fail(counted.error());
    extras["rollouts"] = to_json(*counted);
  }
  extras["transcripts"] = transcript_pairs(**store, ctx);
  extras["files"] = json::object{{"report", (folder.path / "report.html").string()},
                                 {"events", folder.path.string()},
                                 {"checkpoint", newest_checkpoint(folder.path)}};
  auto report = summarize(*records, extras);
  if (ctx.config.faults.enabled)
    if (auto faults = summarize_faults(folder, ctx.config, **store)) report["faults"] = std::move(*faults);
  auto config_text = read_file(folder.path / "config.yaml");
  write_or_warn(folder.path / "report.html", build_report(report, *records, config_text.value_or("")), &ctx);
  const auto* after = values::value_at(report, "heldout.after"); // report.json marks a finished run
  if (after && !after->is_null()) write_or_warn(folder.path / "report.json", json::dump(report), &ctx);
  return report;
}

} // namespace troupe::cli

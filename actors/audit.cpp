#include "actors/audit.hpp"

#include "actors/engine/token_journal.hpp"
#include "actors/record_body.hpp"

#include "runtime/base/hash.hpp"

#include <algorithm>

namespace troupe {

namespace fs = std::filesystem;

// -- bindings

json::object binding_of(const store_position& at) { // as numbers read from a file are: signed
  return {{"seq", static_cast<std::int64_t>(at.seq)}, {"chain", static_cast<std::int64_t>(at.chain)}};
}

expected<std::optional<store_position>> binding_in(const json::object& extra) {
  if (!extra.contains("store")) return std::nullopt;
  const auto about = json::object_at(extra, "store");
  if (!about) return fail(errc::corrupt, "the manifest: " + about.error().message);
  const auto seq = json::int_at(**about, "seq"), chain = json::int_at(**about, "chain");
  if (!seq || !chain) return fail(errc::corrupt, "the manifest's place in the store lacks seq or chain");
  return store_position{static_cast<std::uint64_t>(*seq), static_cast<std::uint32_t>(*chain)};
}

expected<void> check_binding(const store_position& bound, const expected<store_position>& found) {
  const auto made = "the checkpoint was made when the store had " + std::to_string(bound.seq) + " records";
  if (!found && found.error().code == errc::not_found)
    return fail(errc::corrupt, made + ", and this store has fewer: it is an older one");
  if (!found) return fail(found.error());
  if (found->seq != 0 && found->chain != bound.chain)
    return fail(errc::corrupt, made + " that were others: checkpoint and store do not belong together");
  return {};
}

expected<void> check_consumption(const ledger& book, const json::object& extra, std::uint64_t version) {
  if (version == 0) return {};
  if (book.steps + 1 < version)
    return fail(errc::corrupt, "the store knows " + std::to_string(book.steps) +
                                   " steps, the checkpoint is of step " + std::to_string(version) +
                                   ": the store is an older one");
  const auto known = book.consumptions.find(version - 1);
  if (known == book.consumptions.end()) return {}; // died between checkpoint and record
  const auto consumed = json::object_at(extra, "consumed");
  if (!consumed) return fail(errc::corrupt, "the manifest does not say what its step consumed");
  if (crc32c(json::dump(**consumed)) != known->second)
    return fail(errc::corrupt, "the store knows another step " + std::to_string(version) +
                                   " than the checkpoint: it is of another history");
  return {};
}

// -- the audit

namespace {

class auditor {
public:
  auditor(event_store& store, const run_config& config)
      : store_(store),
        group_size_(static_cast<std::uint64_t>(config.rl.group_size)),
        every_(static_cast<std::uint64_t>(config.checkpoint.every)) {}

  expected<json::object> audit(const std::vector<expected<checkpoint>>& checkpoints,
                               const std::vector<std::uint64_t>& steps_of,
                               const std::function<std::uint64_t()>& newest_name) {
    for (const char* kind : {"admission", "consumption", "retirement", "rollback", "verdict", "metric",
                             "park", "started", token_journal::kind}) {
      auto records = store_.read_kind(kind);
      if (!records) return fail(records.error());
      rows_[kind] = std::move(*records);
    }
    auto book = fold_ledger(rows_["admission"], rows_["consumption"], rows_["retirement"], rows_["rollback"]);
    if (!book) return fail(book.error());
    book_ = std::move(*book);
    if (auto ok = check_rollouts(); !ok) return fail(ok.error());
    check_checkpoints(checkpoints, steps_of);
    check_newest(newest_name);
    auto about = store_facts();
    if (!about) return fail(about.error());
    auto journal = journal_facts();
    auto effects = effect_facts();
    if (!effects) return fail(effects.error());
    auto sheet = balance_sheet();
    if (!sheet) return fail(sheet.error());
    if (!sheet->holds()) problem("not_balanced", json::dump(to_json(*sheet)));
    return json::object{
        {"balanced", problems_.empty()},
        {"problems", problems_},
        {"rollouts", to_json(*sheet)},
        {"steps", steps_},
        {"consumptions", json::object{{"counted", book_.consumptions.size()},
                                      {"undone", rows_["consumption"].size() - book_.consumptions.size()}}},
        {"checkpoints", checkpoints_},
        {"effects", std::move(*effects)},
        {"journal", std::move(journal)},
        {"store", std::move(*about)}};
  }

private:
  void problem(std::string_view code, const std::string& text) {
    problems_.push_back(json::object{{"code", code}, {"text", text}});
  }

  expected<balance> balance_sheet() {
    balance sheet;
    sheet.accepted = rows_["admission"].size() * group_size_;
    sheet.trained = book_.trained;
    sheet.retired = book_.retired;
    std::set<std::string> parked;
    for (const auto& r : rows_["park"])
      if (const auto key = parse_rollout_stream(r.stream);
          key && key->why == purpose::train && book_.open_groups.contains(key->group))
        parked.insert(r.stream);
    for (const auto& stream : parked) { // it may have gone on since; its tools may have answered meanwhile
      auto records = store_.read_stream(stream);
      if (!records) return fail(records.error());
      const auto last = std::find_if(records->rbegin(), records->rend(),
                                     [](const record& r) { return r.kind != "tool" && r.kind != "started"; });
      sheet.parked += last != records->rend() && last->kind == "park";
    }
    sheet.pending = book_.open_groups.size() * group_size_ - sheet.parked;
    return sheet;
  }

  /// Calls of tools that are not idempotent: each that began has its result, is open, or its rollout has failed since nobody knows.
  expected<json::object> effect_facts() {
    std::uint64_t committed = 0, unknown = 0;
    std::set<std::string> streams;
    for (const auto& r : rows_["started"]) streams.insert(r.stream);
    for (const auto& stream : streams) {
      auto records = store_.read_stream(stream);
      if (!records) return fail(records.error());
      std::set<std::string, std::less<>> begun, kept;
      for (const auto& r : *records) {
        if (r.kind == "started") begun.insert(r.key.substr(r.key.find('/') + 1));
        if (r.kind == "tool") kept.insert(r.key.substr(r.key.find('/') + 1));
        if (r.kind == "failed") {
          const auto body = json::parse(r.body);
          unknown += body && body->is_object() && json::string_at(body->get_object(), "code") == "uncertain";
        }
      }
      for (const auto& call : begun) committed += kept.contains(call);
    }
    return json::object{{"begun", rows_["started"].size()}, {"committed", committed}, {"unknown", unknown}};
  }

  json::object journal_facts() {
    const auto& records = rows_[token_journal::kind];
    std::uint64_t bytes = 0;
    for (const auto& r : records) bytes += r.body.size();
    token_journal journal;
    if (const auto undone = token_journal::undone_by(rows_["rollback"]); !undone)
      problem("rollback_damaged", undone.error().message);
    else if (const auto read = journal.read(records, *undone); !read)
      problem("journal_damaged", read.error().message);
    return {{"records", records.size()}, {"bytes", bytes}};
  }

  expected<void> check_rollouts() {
    if (rows_["admission"].size() != book_.admitted)
      problem("admission_missing", std::to_string(rows_["admission"].size()) + " admissions of " +
                                       std::to_string(book_.admitted) + " groups");
    std::set<std::string, std::less<>> judged, figures, trained, retired;
    for (const auto& r : rows_["verdict"]) judged.insert(r.key.substr(r.key.find('/') + 1));
    for (const auto& r : rows_["metric"]) figures.insert(r.key);
    for (std::uint64_t step = 0; step < book_.steps; ++step)
      if (!book_.consumptions.contains(step))
        problem("step_missing", "no consumption of step " + std::to_string(step + 1));
    for (const auto& r : rows_["consumption"]) {
      auto read = body_of(r);
      if (!read) return fail(read.error());
      const auto& body = *read;
      const auto step = static_cast<std::uint64_t>(json::int_at(body, "step").value_or(-1));
      const auto counted = book_.consumption_keys.find(step);
      if (counted == book_.consumption_keys.end() || counted->second != r.key) continue; // undone
      const auto& trains = *json::array_at(body, "trained").value();
      const auto& retires = *json::array_at(body, "retired").value();
      for (const auto& one : trains) {
        const std::string id(one.is_string() ? std::string_view(one.get_string()) : "?");
        if (!trained.insert(id).second) problem("trained_twice", id + " in step " + std::to_string(step + 1));
        if (!judged.contains(id)) problem("no_verdict", id + " in step " + std::to_string(step + 1));
        const auto key = parse_rollout_key(id);
        if (!key || key->group >= book_.admitted) problem("not_admitted", id);
      }
      for (const auto& pair : retires)
        if (const auto* p = pair.if_array(); p && !p->empty() && (*p)[0].is_string())
          if (!retired.emplace((*p)[0].get_string()).second)
            problem("retired_twice", std::string((*p)[0].get_string()));
      const bool told = figures.contains("metric/step/" + std::to_string(step + 1));
      if (!told && step + 1 < book_.steps) // of the last one they may be on their way
        problem("step_without_figures", "step " + std::to_string(step + 1));
      steps_.push_back(json::object{{"step", step + 1},
                                    {"trained", trains.size()},
                                    {"retired", retires.size()},
                                    {"groups", body.at("groups")},
                                    {"figures", told}});
    }
    for (const auto& id : trained)
      if (retired.contains(id)) problem("trained_and_retired", id);
    return {};
  }

  void check_checkpoints(const std::vector<expected<checkpoint>>& found,
                         const std::vector<std::uint64_t>& steps_of) {
    for (std::size_t i = 0; i < found.size(); ++i) {
      json::object row{{"step", steps_of[i]}, {"verified", false}};
      const auto bad = [&](std::string_view code, const error& why) {
        row["error"] = why.message;
        problem(code, "step-" + std::to_string(steps_of[i]) + ": " + why.message);
      };
      if (!found[i]) {
        bad("checkpoint_damaged", found[i].error());
      } else if (auto ok = belongs(*found[i]); !ok) {
        bad("checkpoint_foreign", ok.error());
      } else {
        row["verified"] = true;
      }
      checkpoints_.push_back(std::move(row));
    }
  }

  /// The newest checkpoint is that of the last step that gets one. `newest_name`: as the folder says after the store was read, since
  /// a run in progress goes on meanwhile.
  void check_newest(const std::function<std::uint64_t()>& newest_name) {
    const auto due = book_.steps - book_.steps % every_;
    std::uint64_t newest = 0;
    for (const auto& row : checkpoints_)
      if (row.at("verified").as_bool()) newest = std::max(newest, row.at("step").to_number<std::uint64_t>());
    const auto unverified = std::any_of(checkpoints_.begin(), checkpoints_.end(),
                                        [](const json::value& row) { return !row.at("verified").as_bool(); });
    if (newest < due && !unverified && newest_name() < due)
      problem("checkpoint_missing", "the newest is of step " + std::to_string(newest) + ", expected step " +
                                        std::to_string(due) + ": resumed, the run goes back to it");
  }

  expected<void> belongs(const checkpoint& what) {
    const auto bound = binding_in(what.extra);
    if (!bound) return fail(bound.error());
    if (*bound)
      if (auto ok = check_binding(**bound, store_.position((*bound)->seq)); !ok) return ok;
    return check_consumption(book_, what.extra, what.version);
  }

  expected<json::object> store_facts() {
    const auto kinds = store_.count_kinds();
    if (!kinds) return fail(kinds.error());
    const auto end = store_.position();
    if (!end) return fail(end.error());
    json::object by_kind;
    for (const auto& [kind, count] : *kinds) by_kind[kind] = count;
    return json::object{
        {"records", end->seq}, {"kinds", std::move(by_kind)}, {"seq", end->seq}, {"chain", end->chain}};
  }

  event_store& store_;
  std::uint64_t group_size_, every_;
  std::map<std::string, std::vector<record>> rows_;
  ledger book_;
  json::array problems_, steps_, checkpoints_;
};

/// Of a folder that list_checkpoints named.
std::uint64_t step_in(const fs::path& folder) { return std::stoull(folder.filename().string().substr(5)); }

} // namespace

expected<void> check_resumable(const fs::path& folder, const run_config& config) {
  auto stored = load_latest_checkpoint(folder / "checkpoints");
  if (!stored && stored.error().code != errc::not_found) return fail(stored.error());
  if (const auto file = folder / "run.db"; fs::exists(file)) {
    if (auto opened = event_store::open(file, system_clock()); !opened) return fail(opened.error());
  } else if (stored) {
    return fail(errc::corrupt, folder.string() + ": there are checkpoints, but no store (run.db)");
  }
  if (!stored) return {};
  const auto facts = audit_run(folder, config);
  if (!facts) return fail(facts.error());
  for (const auto& one : facts->at("problems").as_array())
    if (one.at("code").as_string() == "checkpoint_foreign")
      return fail(errc::corrupt, folder.string() + ": " + std::string(one.at("text").as_string()));
  return {};
}

expected<json::object> audit_run(const fs::path& folder, const run_config& config) {
  // Checkpoints first: a run in progress may write the next one meanwhile, and a store must not be older than any.
  std::vector<expected<checkpoint>> checkpoints;
  std::vector<std::uint64_t> steps;
  const auto folders = list_checkpoints(folder / "checkpoints");
  if (!folders && folders.error().code != errc::not_found) return fail(folders.error());
  if (folders)
    for (const auto& path : *folders) {
      auto loaded = load_checkpoint(path);
      if (!loaded && !fs::exists(path)) continue; // pruned meanwhile
      checkpoints.push_back(std::move(loaded));
      steps.push_back(step_in(path));
    }
  auto store = event_store::open_reader(folder / "run.db", system_clock());
  if (!store) return fail(store.error());
  return auditor(**store, config).audit(checkpoints, steps, [&folder] {
    const auto names = list_checkpoints(folder / "checkpoints");
    return names && !names->empty() ? step_in(names->front()) : 0;
  });
}

} // namespace troupe

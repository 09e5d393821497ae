#include "actors/ledger.hpp"
#include "actors/record_body.hpp"
#include "runtime/base/planted.hpp"

#include "runtime/base/hash.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace troupe {

json::object to_json(const balance& sheet) {
  json::object retired;
  for (const auto& [reason, count] : sheet.retired) retired[reason] = count;
  return {{"accepted", sheet.accepted},
          {"trained", sheet.trained},
          {"pending", sheet.pending},
          {"parked", sheet.parked},
          {"retired", std::move(retired)}};
}

json::object consumption_of(const batch& what) {
  json::object out;
  out["step"] = what.step;
  out["groups"] = json::array(what.groups.begin(), what.groups.end());
  json::array trained, retired;
  for (const auto& s : what.samples) trained.push_back(json::value(s.id));
  for (const auto& [id, reason] : what.retired) retired.push_back(json::array{id, reason});
  out["trained"] = std::move(trained);
  out["retired"] = std::move(retired);
  return out;
}

new_record admission_record(const run_context& ctx, std::uint64_t group, std::uint64_t version) {
  json::object body{{"group", group},
                    {"task", ctx.train_task(group).id},
                    {"version", version},
                    {"attempts", ctx.config.rl.group_size}};
  return {"admission", "admission", "admission/" + std::to_string(group), json::dump(body)};
}

new_record consumption_record(std::uint64_t step, std::uint64_t lineage, const json::object& consumption) {
  return {"consumption", "consumption", "consumption/" + std::to_string(lineage) + "/" + std::to_string(step),
          json::dump(consumption)};
}

new_record group_retired_record(std::uint64_t group, std::string_view reason, int rollouts) {
  json::object body{{"group", group}, {"reason", reason}, {"rollouts", rollouts}};
  return {"retirement", "retirement", "retirement/" + std::to_string(group), json::dump(body)};
}

new_record rollback_record(std::uint64_t steps, std::uint64_t lineage) {
  return {"rollback", "rollback", "rollback/" + std::to_string(lineage),
          json::dump(json::object{{"steps", steps}})};
}

namespace {

struct reading {
  const record& from;
  json::object body;
};

expected<reading> read(const record& r) {
  auto body = body_of(r);
  if (!body) return fail(body.error());
  return reading{r, std::move(*body)};
}

tl::unexpected<error> broken(const record& r, const error& why) {
  return fail(errc::corrupt, "record " + r.key + " (seq " + std::to_string(r.seq) + "): " + why.message);
}

} // namespace

bool came_too_late(const record& consumption, const std::vector<record>& rollbacks) {
  const auto before = std::count_if(rollbacks.begin(), rollbacks.end(),
                                    [&](const record& back) { return back.seq < consumption.seq; });
  return std::strtoll(consumption.key.c_str() + std::strlen("consumption/"), nullptr, 10) < before;
}

expected<ledger> fold_ledger(const std::vector<record>& admissions, const std::vector<record>& consumptions,
                             const std::vector<record>& retirements, const std::vector<record>& rollbacks) {
  ledger book;
  std::map<std::uint64_t, std::uint64_t> attempts;
  for (const auto& r : admissions) {
    auto it = read(r);
    if (!it) return fail(it.error());
    auto group = json::int_at(it->body, "group"), version = json::int_at(it->body, "version"),
         count = json::int_at(it->body, "attempts");
    if (!group) return broken(r, group.error());
    if (!version) return broken(r, version.error());
    if (!count) return broken(r, count.error());
    const auto g = static_cast<std::uint64_t>(*group);
    book.admitted = std::max(book.admitted, g + 1);
    book.open_groups.insert(g);
    book.group_versions[g] = static_cast<std::uint64_t>(*version);
    attempts[g] = static_cast<std::uint64_t>(*count);
  }
  book.lineage = rollbacks.size();
  for (const auto& r : consumptions) {
    auto it = read(r);
    if (!it) return fail(it.error());
    auto step = json::int_at(it->body, "step");
    auto groups = json::array_at(it->body, "groups"), trained = json::array_at(it->body, "trained"),
         retired = json::array_at(it->body, "retired");
    if (!step) return broken(r, step.error());
    if (!groups) return broken(r, groups.error());
    if (!trained) return broken(r, trained.error());
    if (!retired) return broken(r, retired.error());
    bool undone = came_too_late(r, rollbacks);
    for (const auto& back : rollbacks) {
      auto cut = read(back);
      if (!cut) return fail(cut.error());
      auto steps = json::int_at(cut->body, "steps");
      if (!steps) return broken(back, steps.error());
      undone = undone || (back.seq > r.seq && *step >= *steps);
    }
    if (undone && !planted("undone_counts")) continue; // LED-1
    book.steps = std::max(book.steps, static_cast<std::uint64_t>(*step) + 1);
    book.trained += (*trained)->size();
    book.consumptions[static_cast<std::uint64_t>(*step)] = crc32c(r.body);
    book.consumption_keys[static_cast<std::uint64_t>(*step)] = r.key;
    for (const auto& group : **groups)
      if (group.is_int64()) book.open_groups.erase(static_cast<std::uint64_t>(group.get_int64()));
    for (const auto& pair : **retired)
      if (const auto* p = pair.if_array(); p && p->size() == 2 && (*p)[1].is_string())
        ++book.retired[std::string((*p)[1].get_string())];
  }
  for (const auto& r : retirements) {
    auto it = read(r);
    if (!it) return fail(it.error());
    auto group = json::int_at(it->body, "group"), rollouts = json::int_at(it->body, "rollouts");
    auto reason = json::string_at(it->body, "reason");
    if (!group) return broken(r, group.error());
    if (!rollouts) return broken(r, rollouts.error());
    if (!reason) return broken(r, reason.error());
    if (book.open_groups.erase(static_cast<std::uint64_t>(*group)) == 0) continue;
    book.retired_groups.insert(static_cast<std::uint64_t>(*group));
    book.retired[*reason] += static_cast<std::uint64_t>(*rollouts);
  }
  return book;
}

namespace {

/// Reads the four kinds one after the other. Admissions come last, so that no consumption is seen without its admission.
struct ledger_reader : std::enable_shared_from_this<ledger_reader> {
  self_ptr self;
  context_ptr ctx;
  std::function<void(const ledger&)> ok;
  std::function<void(const error&)> bad;
  std::array<std::vector<record>, 4> found;
  static constexpr std::array<const char*, 4> kinds = {"consumption", "retirement", "rollback", "admission"};

  void read(std::size_t i) {
    if (i == kinds.size()) {
      auto book = fold_ledger(found[3], found[0], found[1], found[2]);
      return book ? ok(*book) : bad(book.error());
    }
    auto me = shared_from_this();
    ask_named(
        self, ctx, names::store, std::chrono::seconds(60), read_kind{kinds[i], 0},
        [me, i](const std::vector<record>& records) {
          me->found[i] = records;
          me->read(i + 1);
        },
        [me](const error& why) { me->bad(why); });
  }
};

} // namespace

void read_ledger(self_ptr self, const context_ptr& ctx, std::function<void(const ledger&)> ok,
                 std::function<void(const error&)> bad) {
  auto reader = std::make_shared<ledger_reader>();
  reader->self = self;
  reader->ctx = ctx;
  reader->ok = std::move(ok);
  reader->bad = std::move(bad);
  reader->read(0);
}

} // namespace troupe

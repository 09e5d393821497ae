#include "actors/ask_named.hpp"

namespace troupe {

bool may_be_lost(const run_context& ctx, const std::string& name) {
  return ctx.repeat_after || ctx.names->leaves(name);
}

duration pause_before_again(const run_context& ctx, const std::string& name, int tries) {
  if (ctx.cluster && ctx.names->leaves(name)) return ctx.cluster->timing.patience(tries);
  constexpr duration longest = std::chrono::seconds(5);
  const auto first = ctx.repeat_after.value_or(longest);
  return std::min(longest, first * (1 << std::min(tries, 6)));
}

void note_disk_full(const run_context& ctx) {
  const auto now = ctx.time->now().count();
  auto last = ctx.disk_full_said->load();
  if (last != 0 && now - last < duration(std::chrono::seconds(10)).count()) return;
  if (ctx.disk_full_said->compare_exchange_strong(last, now) && ctx.on_record)
    ctx.on_record({{"kind", "message"},
                   {"level", "warning"},
                   {"text", "the disk is full: the run waits for space; nothing acknowledged is lost"}});
}

} // namespace troupe

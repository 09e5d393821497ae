#include "actors/ask_named.hpp"

namespace troupe {

duration wait_for_answer(const run_context& ctx, const std::string& name, duration left, int tries) {
  if (!ctx.cluster || !ctx.names->leaves(name)) return left;
  return std::min(left, ctx.cluster->timing.patience(tries));
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

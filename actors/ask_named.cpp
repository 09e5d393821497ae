#include "actors/ask_named.hpp"

namespace troupe {

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

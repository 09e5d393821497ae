#include "sim/lossy_actors.hpp"

namespace troupe::sim {

class lossy_actors::by_seed final : public message_faults {
public:
  by_seed(const drawn_world& drawn, std::uint64_t seed)
      : lost_(drawn.lost),
        twice_(drawn.twice),
        overtaken_(drawn.overtaken),
        overtaken_by_(drawn.overtaken_by),
        draw_(derive_seed(seed, "messages")) {}
  bool any() const { return lost_ + twice_ + overtaken_ > 0; }
  message_fate fate(std::string_view from, std::string_view to) override {
    using kind = message_fate::what;
    for (const auto name : {from, to})
      if (name == "health" || name == "caller") return {}; // who looks on
    if (quiet_) return {};
    double left = draw_.uniform();
    auto falls = [&left](double chance) { return (left -= chance) < 0; };
    if (falls(lost_)) return ++seen.lost, message_fate{kind::drop, {}};
    if (falls(twice_)) return ++seen.twice, message_fate{kind::duplicate, {}};
    if (!falls(overtaken_)) return {};
    ++seen.overtaken;
    if (draw_.chance(0.5)) return {kind::reorder, std::chrono::milliseconds(50)};
    return {kind::delay, from_seconds(overtaken_by_ * draw_.uniform())};
  }
  void quiet() { quiet_ = true; }
  counts seen;

private:
  double lost_, twice_, overtaken_, overtaken_by_;
  random_stream draw_;
  bool quiet_ = false;
};

lossy_actors::lossy_actors(simulation& sim, run_context& ctx, const drawn_world& drawn, std::uint64_t seed)
    : sim_(sim), how_(std::make_shared<by_seed>(drawn, seed)) {
  if (how_->any()) ctx.repeat_after = std::chrono::milliseconds(100);
  set_message_faults(sim_.system(), how_->any() ? how_ : std::shared_ptr<message_faults>(ctx.faults));
}

lossy_actors::~lossy_actors() { set_message_faults(sim_.system(), nullptr); }

void lossy_actors::quiet() { how_->quiet(); }

const lossy_actors::counts& lossy_actors::seen() const { return how_->seen; }

} // namespace troupe::sim

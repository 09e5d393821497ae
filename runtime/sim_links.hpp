#pragma once

#include "caf/all.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/random.hpp"
#include <map>
#include <optional>
#include <vector>

namespace troupe {

/// What happens to messages between two nodes. All chances are per message.
struct link_faults {
  duration delay{0}, jitter{0}; ///< on its way: delay + up to jitter
  double lost = 0, twice = 0;
  double overtaken = 0; ///< it comes later than what was sent behind it ...
  duration late_by{0};  ///< ... by up to this much; so does what comes twice
};

/// The network between simulated nodes. What is sent is on its way for a while; it may be lost, come twice or late, as the seed draws.
///   LINK-1  Without faults, messages from one node to another keep their order.
///   LINK-2  What meets a blocked link is lost or waits there until it is open again, half and half: a connection that broke, or one that stayed.
class sim_links {
public:
  struct end {
    std::uint32_t node = 0, place = 0;
  };
  struct parcel {
    end from, to;
    caf::strong_actor_ptr whom;
    caf::mailbox_element_ptr what;
  };
  explicit sim_links(std::uint64_t seed) : random_(derive_seed(seed, "links")) {}

  void weather(link_faults faults) { faults_ = faults; }
  const link_faults& weather() const { return faults_; }
  /// One direction; blocks add up.
  void block(std::uint32_t from, std::uint32_t to);
  /// `now`: what waited goes on from here.
  void unblock(std::uint32_t from, std::uint32_t to, duration now);
  void unblock_all(duration now);
  bool blocked(std::uint32_t from, std::uint32_t to) const { return blocked_.contains({from, to}); }

  void send(duration now, end from, end to, caf::strong_actor_ptr whom, caf::mailbox_element_ptr what);
  /// When the next parcel is due; nothing if none is on its way.
  std::optional<duration> next_due() const;
  std::optional<parcel> take_due(duration now);

  std::uint64_t sent() const { return sent_; }
  std::uint64_t lost() const { return lost_; }
  std::uint64_t doubled() const { return doubled_; }
  std::uint64_t overtaken() const { return overtaken_; }

private:
  using line = std::pair<std::uint32_t, std::uint32_t>; ///< nodes
  void put(duration now, parcel what, bool late);
  duration up_to(duration most);

  random_stream random_;
  link_faults faults_;
  std::map<line, int> blocked_;
  std::map<line, std::vector<parcel>> waiting_;
  std::map<line, duration> last_; ///< when the newest in order arrives
  std::multimap<duration, parcel> on_the_way_;
  std::uint64_t sent_ = 0, lost_ = 0, doubled_ = 0, overtaken_ = 0;
};

} // namespace troupe

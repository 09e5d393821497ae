#pragma once

#include "runtime/actor.hpp"
#include "runtime/store.hpp"
#include "runtime/supervisor.hpp"
#include "runtime/wire.hpp"

/// What may be a message. The build demands an entry for every type that is sent or answered; a missing one
/// is the error "at least one type has no type ID". Two kinds:
///   wire types   may cross a node: they have an `inspect` (TROUPE_INSPECT) and a number in a block;
///   local types  carry functions, shared pointers or tensors: sent to another node they would arrive as an
///   empty message.
/// Each folder registers its own, behind its structs, outside of any namespace (actors/messages.hpp):
///
///   TROUPE_BEGIN_WIRE_TYPES(troupe_actors, troupe::first_actor_type)
///   TROUPE_WIRE_TYPE(troupe_actors, troupe::turn)
///   TROUPE_WIRE_TYPE(troupe_actors, std::vector<troupe::turn>)
///   TROUPE_END_WIRE_TYPES(troupe_actors)
///   TROUPE_LOCAL_TYPE(troupe::weights_ready)
///
/// A reply type is registered like any other. Already there: bool, the integers, std::string, actor_ref and
/// vectors of it (CAF), std::vector<std::string>, std::vector<std::uint64_t>, and `done`. Never a vector of
/// enums (CAF's trap): send integers. The node is told of a block by
/// troupe::wire_types_of<caf::id_block::troupe_actors>() in node_options::wire_types.
#define TROUPE_BEGIN_WIRE_TYPES(block, first) CAF_BEGIN_TYPE_ID_BLOCK(block, first)
#define TROUPE_WIRE_TYPE(block, ...) CAF_ADD_TYPE_ID(block, (__VA_ARGS__))
#define TROUPE_END_WIRE_TYPES(block) CAF_END_TYPE_ID_BLOCK(block)
#define TROUPE_LOCAL_TYPE(...)                                                                               \
  namespace caf {                                                                                            \
  template <>                                                                                                \
  struct allowed_unsafe_message_type<__VA_ARGS__> : std::true_type {};                                       \
  }

namespace troupe {

// -- the ranges of numbers: part of the wire format, never reused
// ------------------------------------------------------
constexpr caf::type_id_t first_runtime_type = caf::first_custom_type_id;
constexpr caf::type_id_t first_actor_type = caf::first_custom_type_id + 200;
constexpr caf::type_id_t first_test_type = caf::first_custom_type_id + 2000;

/// Makes a node able to receive the types of a block from other nodes.
using wire_type_registration = void (*)(caf::actor_system_config&);
template <class Block>
wire_type_registration wire_types_of() {
  return [](caf::actor_system_config& config) { config.add_message_types<Block>(); };
}

// -- the runtime's own messages
// ----------------------------------------------------------------------------------------
TROUPE_INSPECT(new_record, x.stream, x.kind, x.key, x.body)
TROUPE_INSPECT(record, x.seq, x.stream, x.kind, x.key, x.body, x.wall_ms)
TROUPE_INSPECT(append_outcome, x.seq, x.fresh)
TROUPE_INSPECT(write_fence, x.epoch, x.placement)
TROUPE_INSPECT(append_records, x.records, x.fence)
TROUPE_INSPECT(read_stream, x.stream)
TROUPE_INSPECT(read_kind, x.kind, x.after_seq)
TROUPE_INSPECT(read_position, x.seq)
TROUPE_INSPECT(store_position, x.seq, x.chain)
TROUPE_INSPECT(store_metrics_request)
TROUPE_INSPECT(sign_of_life)
TROUPE_INSPECT(stop_child, x.id)
TROUPE_INSPECT(list_children)
TROUPE_INSPECT(release_quarantine, x.id)
TROUPE_INSPECT(stop_all)
TROUPE_INSPECT(child_status, x.id, x.state, x.restarts, x.last_reason)

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, store_metrics& x) {
  wire::f64 busy = x.busy_seconds;
  if constexpr (Inspector::writes_state) {
    auto result = f(caf::meta::type_name("store_metrics"), x.commits, x.records, busy, x.disk_full);
    x.busy_seconds = busy;
    return result;
  } else {
    return f(caf::meta::type_name("store_metrics"), x.commits, x.records, busy, x.disk_full);
  }
}

} // namespace troupe

TROUPE_BEGIN_WIRE_TYPES(troupe_runtime, troupe::first_runtime_type)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::done)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::wire::f64)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::wire::f32)
TROUPE_WIRE_TYPE(troupe_runtime, std::vector<std::string>)
TROUPE_WIRE_TYPE(troupe_runtime, std::vector<std::uint64_t>)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::new_record)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::record)
TROUPE_WIRE_TYPE(troupe_runtime, std::vector<troupe::record>)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::append_outcome)
TROUPE_WIRE_TYPE(troupe_runtime, std::vector<troupe::append_outcome>)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::append_records)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::read_stream)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::read_kind)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::read_position)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::store_position)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::store_metrics_request)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::store_metrics)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::stop_child)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::list_children)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::release_quarantine)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::stop_all)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::child_status)
TROUPE_WIRE_TYPE(troupe_runtime, std::vector<troupe::child_status>)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::sign_of_life)
TROUPE_WIRE_TYPE(troupe_runtime, troupe::write_fence)
TROUPE_END_WIRE_TYPES(troupe_runtime)
TROUPE_LOCAL_TYPE(troupe::start_child)
TROUPE_LOCAL_TYPE(troupe::child_progressed)
TROUPE_LOCAL_TYPE(troupe::inject_throw)
TROUPE_LOCAL_TYPE(troupe::inject_stall)

namespace troupe {

/// The answer of a handler that may be asked or only told: who told hears nothing.
inline result<done> noted(self_ptr self) {
  const auto* now = self->current_mailbox_element();
  if (now && now->mid.is_request()) return done{};
  return caf::delegated<done>{};
}

} // namespace troupe

static_assert(caf::id_block::troupe_runtime::end <= troupe::first_actor_type,
              "the runtime has used up its range");

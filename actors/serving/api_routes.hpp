#pragma once

#include "actors/serving/api_actor.hpp"

namespace troupe::serving {

/// The routes of a server whose api actor is `me`.
http::router routes_of(const serving_ptr& ctx, const actor_ref& me);

} // namespace troupe::serving

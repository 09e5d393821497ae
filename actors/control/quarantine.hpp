#pragma once

#include "actors/ask_named.hpp"
#include "runtime/base/http.hpp"

namespace troupe {

/// Poison tasks for REST: rollouts that were given up after their worker died three times without getting on.

/// `{"quarantine": [{"rollout", "task", "reason", "retries", "retryable"}]}`, as the store has it; retryable while no step has consumed their group.
void list_quarantine(self_ptr self, const context_ptr& ctx, http::responder answer);

/// Has one tried again: 202, or the manager's refusal.
void retry_quarantined(self_ptr self, const context_ptr& ctx, const std::string& rollout,
                       http::responder answer);

} // namespace troupe

#include "cli/turn_in_progress.hpp"

#include "actors/engine/token_journal.hpp"
#include <algorithm>
#include <numeric>

namespace troupe::cli {

expected<std::optional<transcript_turn>> turn_in_progress(event_store& store, const trajectory_rules& rules,
                                                          const trajectory& so_far) {
  if (so_far.judged() || so_far.next() != trajectory::need::turn) return std::nullopt;
  const auto records = store.read_kind(token_journal::kind), rollbacks = store.read_kind("rollback");
  if (!records) return fail(records.error());
  if (!rollbacks) return fail(rollbacks.error());
  const auto undone = token_journal::undone_by(*rollbacks);
  if (!undone) return fail(undone.error());
  token_journal journal;
  if (auto ok = journal.read(*records, *undone); !ok) return fail(ok.error());
  generate_request asked;
  asked.sequence = so_far.key().number();
  asked.context = so_far.tokens();
  const auto* known = journal.find(asked);
  if (!known) return std::nullopt;
  transcript_turn out;
  out.role = speaker::assistant;
  out.text = rules.words->decode(known->tokens) + " ... (in progress)";
  out.tokens = static_cast<int>(known->tokens.size());
  const auto [oldest, newest] = std::minmax_element(known->versions.begin(), known->versions.end());
  out.versions = {*oldest, *newest};
  out.mean_logprob = std::accumulate(known->logprobs.begin(), known->logprobs.end(), 0.0) / out.tokens;
  return out;
}

} // namespace troupe::cli
